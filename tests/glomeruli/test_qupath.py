"""The folder for QuPath."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.glomeruli.qupath import OutlinedSlide, shortest_endings, write_qupath


def test_scripts_find_each_slide_by_the_end_of_its_path(tmp_path: Path) -> None:
    (tmp_path / "a.geojson").write_text("{}")
    slides = {
        "P1-OM": OutlinedSlide(Path("P1/om.svs"), tmp_path / "a.geojson"),
        "P2-OM": OutlinedSlide(Path("P2/om.svs"), tmp_path / "a.geojson"),
        "P2-IM": OutlinedSlide(Path("P2/O'Neil $x \u80be.tif"), tmp_path / "a.geojson"),
    }
    out = tmp_path / "outlines for QuPath"
    write_qupath(slides, out)
    assert sorted(path.name for path in (out / "outlines").iterdir()) == [f"{name}.geojson" for name in sorted(slides)]
    for name in ("load", "save"):
        script = (out / f"{name}_outlines.groovy").read_text(encoding="utf-8")
        found = dict(re.findall(r"^    '(.*)': '(.*?)',?$", script, re.MULTILINE))
        assert found == {"P1/om.svs": "P1-OM", "P2/om.svs": "P2-OM", "O\\'Neil $x \u80be.tif": "P2-IM"}
        assert "buildFilePath(PROJECT_BASE_DIR, 'outlines for QuPath')" in script
        assert script.count("{") == script.count("}")
        assert "\\\\" in script  # a backslash in Groovy's quotes
        assert str(tmp_path) not in script
    with pytest.raises(NephroscaleError, match="exists"):
        write_qupath(slides, out)


def test_endings_are_short_and_unique() -> None:
    paths = {"a": ("x", "s.tif"), "b": ("s.tif",), "c": ("y", "z", "t.tif"), "d": ("w", "z", "t.tif")}
    assert shortest_endings(paths) == {"a": "x/s.tif", "b": "s.tif", "c": "y/z/t.tif", "d": "w/z/t.tif"}
