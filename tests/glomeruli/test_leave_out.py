from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from nephroscale.errors import Rejected
from nephroscale.glomeruli import leave_out
from nephroscale.glomeruli.leave_out import HeldOutPatient, check_segmenter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from shapely.geometry import Polygon

pytestmark = pytest.mark.slow


@pytest.fixture
def trained_on(trained: Any, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The slides of each training, which gives the weights of the fixture."""
    calls: list[list[str]] = []

    def train(slides: Any, settings: Any, seed: int, out: Path) -> None:
        calls.append([slide.id for slide in slides])
        shutil.copytree(trained.model, out)

    monkeypatch.setattr(leave_out, "train_segmenter", train)
    return calls


def test_contours_of_each_held_out_patient_are_counted(
    trained: Any,
    trained_on: list[list[str]],
    tmp_path: Path,
    om_slide: tuple[Path, list[Polygon]],
    make_annotation: Callable[..., Path],
) -> None:
    (slide,) = trained.slides
    three = slide._replace(id="B", annotation=make_annotation(tmp_path / "three.geojson", om_slide[1][:3]))
    broken = slide._replace(id="C", annotation=tmp_path / "broken.geojson")
    broken.annotation.write_text("[{")
    held_out = [HeldOutPatient("P1", [slide._replace(id="A"), three]), HeldOutPatient("P2", [broken])]
    figures = check_segmenter([slide], held_out, trained.settings, 1, tmp_path / "out")
    assert trained_on == [["S1"]]
    (counts,) = figures["patients"]
    assert (counts["patient"], counts["outlines"], counts["found"], counts["matched"]) == ("P1", 7, 8, 7)
    assert 0.8 < 2 * counts["overlap"] / counts["area"] < 1
    assert [entry["id"] for entry in figures["outlines_left_out"]] == ["C"]
    assert json.loads((tmp_path / "out/held_out.json").read_text()) == figures
    with pytest.raises(Rejected, match="that were held out can be used"):
        check_segmenter([slide], held_out[1:], trained.settings, 1, tmp_path / "none")
