"""Raw files copied to the node's own disk give the same artifacts, and the copies are deleted."""

import pytest

pytestmark = pytest.mark.workflow


def test_copied_raw_files_give_the_same_artifacts_and_are_deleted(project, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    before = project.receipts()
    staged = "compute={copy_raw_to_node: true}"
    assert project.run(config=(staged,)).idle  # no part of any recipe
    run = project.run(config=(staged,), options=("--forcerun", "results/tiny/tem/P01.json"))
    assert run.code == 0, run.output
    assert run.computed == ["tem/P01"]
    assert project.receipts() == before
    assert "Copied" in (project.path / "results/tiny/logs/tem/P01.log").read_text()
    assert not list(scratch.glob("nephroscale-*"))
