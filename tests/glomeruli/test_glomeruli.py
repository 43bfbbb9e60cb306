from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from shapely.geometry import box, mapping

from nephroscale.arrays import read_array, read_attributes
from nephroscale.cohort.image import ImageRow
from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.glomeruli.contours import read_geojson
from nephroscale.glomeruli.glomeruli import choose_detector, find_glomeruli
from nephroscale.glomeruli.metrics import detection
from nephroscale.glomeruli.settings import DetectionSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from shapely.geometry import Polygon

SETTINGS = DetectionSettings(crop_px=64)
OM = ImageRow(id="I", patient_id="P", modality="OM")
WHOLE = ImageRow(id="I", patient_id="P", modality="IM", roi="whole")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.slow
def test_outlines_crops_and_overlay(om_slide: tuple[Path, list[Polygon]], tmp_path: Path) -> None:
    figures = find_glomeruli(om_slide[0], None, OM, SETTINGS, tmp_path / "out", "d1")
    assert figures["method"] == "classical"
    assert figures["glomeruli"] == 4
    assert (figures["sections"], figures["fullest_section"]) == (1, 4)
    glomeruli = read_geojson(tmp_path / "out/glomeruli.geojson")
    assert detection([one.polygon for one in glomeruli], om_slide[1])["f1"] == 1
    crops = read_array(tmp_path / "out/crops", "crops")
    assert crops.shape == (4, 64, 64, 3)
    assert crops.dtype == np.uint8
    middle, rim = crops[:, 24:40, 24:40, 1].mean(), crops[:, :4, :, 1].mean()
    assert middle < rim - 30  # the dark tuft is in the middle
    scores = read_array(tmp_path / "out/crops", "score")
    assert scores.tolist() == pytest.approx([one.score for one in glomeruli], abs=1e-4)
    centre = read_array(tmp_path / "out/crops", "centre")
    assert np.abs(centre - np.array([one.centre for one in glomeruli])).max() < 0.1
    with Image.open(tmp_path / "out/overlay.png") as overlay:
        assert max(overlay.size) <= 1280
        assert not overlay.info
    find_glomeruli(om_slide[0], None, OM, SETTINGS, tmp_path / "again", "d1")
    assert files(tmp_path / "out") == files(tmp_path / "again")


def test_a_whole_field_is_one_glomerulus(tmp_path: Path, make_tiles: Callable[..., Path]) -> None:
    field = np.full((100, 200, 1), 40000, np.uint16)
    path = make_tiles(tmp_path / "s", field, modality="IM", mpp=None, origin=(4.0, 6.0), scale=2.0)
    figures = find_glomeruli(path, None, WHOLE, SETTINGS, tmp_path / "out", "d1")
    assert figures["method"] == "whole"
    assert figures["diameter_um"] is None
    crops = read_array(tmp_path / "out/crops", "crops")
    assert crops.shape == (1, 64, 64, 1)
    assert crops.dtype == np.uint16
    assert (crops[0, 16:48] == 40000).all()
    assert (crops[0, :16] == 0).all()
    feature = json.loads((tmp_path / "out/glomeruli.geojson").read_text())["features"][0]
    assert "area_um2" not in feature["properties"]["measurements"]
    assert read_geojson(tmp_path / "out/glomeruli.geojson")[0].polygon.bounds == (4, 6, 404, 206)
    assert read_attributes(tmp_path / "out/crops")["whole"] is True


@pytest.mark.slow
def test_an_image_without_glomeruli_is_rejected(
    tmp_path: Path, make_tiles: Callable[..., Path], make_om: Callable[..., np.ndarray]
) -> None:
    path = make_tiles(tmp_path / "s", make_om(448, 640, [], seed=3))
    with pytest.raises(Rejected, match="no glomerulus found") as rejected:
        find_glomeruli(path, None, OM, SETTINGS, tmp_path / "out", "d1")
    assert rejected.value.figures["glomeruli"] == 0  # the report tells it from an image that was not searched
    unscaled = make_tiles(tmp_path / "u", make_om(128, 128, []), mpp=None)
    with pytest.raises(Rejected, match="no scale"):
        find_glomeruli(unscaled, None, OM, SETTINGS, tmp_path / "out", "d1")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_corrected_outlines_replace_the_detection(
    om_slide: tuple[Path, list[Polygon]], tmp_path: Path, make_annotation: Callable[..., Path]
) -> None:
    drawn = [om_slide[1][2], om_slide[1][0], box(900, 700, 990, 780), box(90000, 0, 90100, 100)]
    annotation = make_annotation(tmp_path / "a.geojson", drawn)
    figures = find_glomeruli(om_slide[0], None, OM, SETTINGS, tmp_path / "out", "d1", annotation)
    assert (figures["method"], figures["glomeruli"], figures["score"]) == ("annotation", 3, 1.0)
    assert figures["outlines_left_out"] == [{"id": "I", "reason": "is outside the slide", "count": 1}]
    found = read_geojson(tmp_path / "out/glomeruli.geojson")
    assert [one.completeness for one in found] == pytest.approx([1.0] * 3, abs=0.2)
    for polygon in drawn[:3]:
        same = next(one for one in found if one.polygon.intersects(polygon))
        assert same.polygon.symmetric_difference(polygon).area < 0.01 * polygon.area
        assert same.area_um2 == pytest.approx(polygon.area, rel=0.01)  # a raw pixel is 1 µm wide
    assert read_array(tmp_path / "out/crops", "crops").shape[0] == 3


@pytest.mark.slow
def test_sclerosed_glomeruli_that_a_person_drew(om_slide: tuple[Path, list[Polygon]], tmp_path: Path) -> None:
    def draw(*names: str) -> Path:
        features = [
            {"type": "Feature", "geometry": mapping(polygon), "properties": {"classification": {"name": name}}}
            for polygon, name in zip(om_slide[1], names, strict=False)
        ]
        path = tmp_path / f"{'-'.join(names)}.geojson"
        path.write_text(json.dumps(features))
        return path

    def find(settings: DetectionSettings, name: str, *classes: str) -> Any:
        return find_glomeruli(om_slide[0], None, OM, settings, tmp_path / name, "d1", draw(*classes))

    classes = ("Glomerulus", "Sclerosed", "Glomerulus")
    figures = find(SETTINGS, "all", *classes)
    assert (figures["glomeruli"], figures["sclerosed"], figures["fullest_sclerosed"]) == (3, 1, 1)
    content = json.loads((tmp_path / "all/glomeruli.geojson").read_text())["features"]
    names = sorted(one["properties"]["classification"]["name"] for one in content)
    assert names == ["Glomerulus", "Glomerulus", "Sclerosed"]
    assert sorted(one.sclerosed or 0.0 for one in read_geojson(tmp_path / "all/glomeruli.geojson")) == [0, 0, 1]
    assert len(read_array(tmp_path / "all/crops", "crops")) == 3
    without = replace(SETTINGS, crop_sclerosed=False)
    assert find(without, "without", *classes)["glomeruli"] == 3
    outlines = read_geojson(tmp_path / "without/glomeruli.geojson")
    assert [one.is_sclerosed for one in outlines] == [False, False, True]
    centres = read_array(tmp_path / "without/crops", "centre")
    assert np.abs(centres - [one.centre for one in outlines[:2]]).max() < 0.1
    assert len(read_array(tmp_path / "without/crops", "crops")) == 2
    with pytest.raises(Rejected, match=r"all of its glomeruli \(2\) are sclerosed") as verdict:
        find(without, "none", "Sclerosed", "Sclerosed")
    assert verdict.value.figures["sclerosed"] == 2
    assert "sclerosed" not in find(SETTINGS, "unknown", "Glomerulus", "Glomerulus")
    assert "sclerosed" not in (tmp_path / "unknown/glomeruli.geojson").read_text()


def test_corrected_outlines_that_cannot_be_used_reject_the_slide(
    om_slide: tuple[Path, list[Polygon]], tmp_path: Path, make_annotation: Callable[..., Path]
) -> None:
    far = make_annotation(tmp_path / "far.geojson", [box(90000, 0, 90100, 100)])
    with pytest.raises(Rejected, match="outside the slide") as rejected:
        find_glomeruli(om_slide[0], None, OM, SETTINGS, tmp_path / "out", "d1", far)
    assert rejected.value.figures["outlines_left_out"] == [{"id": "I", "reason": rejected.value.reason}]
    none = make_annotation(tmp_path / "none.geojson", [])
    with pytest.raises(Rejected, match="no usable outline of a glomerulus"):
        find_glomeruli(om_slide[0], None, OM, SETTINGS, tmp_path / "out", "d1", none)


def test_choice_of_the_detector() -> None:
    assert choose_detector("OM", "auto", has_segmenter=True) == "unet"
    assert choose_detector("OM", "auto", has_segmenter=False) == "classical"
    assert choose_detector("OM", "classical", has_segmenter=True) == "classical"
    assert choose_detector("IM", "auto", has_segmenter=True) == "unet"
    assert choose_detector("IM", "unet", has_segmenter=False) == "classical"
    assert choose_detector("IM", "classical", has_segmenter=True) == "classical"
    with pytest.raises(NephroscaleError, match="no weights"):
        choose_detector("OM", "unet", has_segmenter=False)


@pytest.mark.slow
def test_a_stain_that_the_segmenter_does_not_know_is_searched_by_the_classical_detector(
    trained: Any,
    om_slide: tuple[Path, list[Polygon]],
    tmp_path: Path,
    make_tiles: Callable[..., Path],
    make_om: Callable[..., np.ndarray],
) -> None:
    settings = replace(SETTINGS, mpp=trained.settings.mpp)
    known = find_glomeruli(om_slide[0], trained.model, OM, settings, tmp_path / "known", "d1")
    assert known["method"] == "unet"
    assert (known["stain_unknown"], known["scores"]) == (False, "uncalibrated")
    brown = make_om(448, 640, [(150.0, 300.0, 52.0)])[..., ::-1] // 2 + 110
    path = make_tiles(tmp_path / "s", np.ascontiguousarray(brown.astype(np.uint8)))
    figures = find_glomeruli(path, trained.model, OM, settings, tmp_path / "other", "d1")
    assert figures["stain_unknown"]
    assert figures["stain_likeness"] < known["stain_likeness"] - 0.3
    assert figures["method"] == "classical"
