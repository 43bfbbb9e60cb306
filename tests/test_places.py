"""Where the workflow and the scripts are."""

from pathlib import Path

import pytest

from nephroscale import places


def test_in_a_checkout_they_are_beside_the_package(root: Path) -> None:
    assert places.workflow_folder() == root / "workflow"
    assert places.scripts_folder() == root / "scripts"
    assert (places.workflow_folder() / "Snakefile").is_file()
    assert (places.scripts_folder() / "tile_slide.py").is_file()


def test_in_an_installed_package_they_are_inside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("workflow", "scripts"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(places, "PACKAGE", tmp_path)
    assert places.workflow_folder() == tmp_path / "workflow"
    assert places.scripts_folder() == tmp_path / "scripts"
