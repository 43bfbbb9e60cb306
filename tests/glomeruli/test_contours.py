import json
import re
import uuid
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Polygon, box

from nephroscale.glomeruli.contours import Glomerulus, outline, rank, rasterise, read_geojson, write_geojson
from nephroscale.glomeruli.metrics import dice


def disc(y: float, x: float, radius: float, shape: tuple[int, int] = (80, 90)) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(rows + 0.5 - y, columns + 0.5 - x) < radius


@settings(deadline=None, max_examples=40)
@given(st.floats(10, 70), st.floats(10, 80), st.floats(7, 25))
def test_a_mask_survives_conversion_to_an_outline_and_back(y: float, x: float, radius: float) -> None:
    mask = disc(y, x, radius)
    polygon = outline(mask)
    assert polygon is not None
    assert polygon.is_valid
    assert dice(rasterise([polygon], (80, 90)), mask) > 0.93
    assert polygon.area == pytest.approx(mask.sum(), rel=0.08)


def test_holes_are_filled_and_small_pieces_dropped() -> None:
    mask = disc(40, 40, 20) & ~disc(40, 40, 6)
    mask[2:5, 80:83] = True
    polygon = outline(mask)
    assert polygon is not None
    assert polygon.area == pytest.approx(np.pi * 400, rel=0.05)
    assert not polygon.interiors
    assert outline(np.zeros((10, 10), bool)) is None


def test_a_whole_mask_gives_its_frame() -> None:
    polygon = outline(np.ones((30, 40), bool))
    assert polygon is not None
    assert polygon.area == pytest.approx(1200, rel=0.02)


def test_rasterise_marks_pixels_whose_centres_are_inside() -> None:
    ring = Polygon(box(1, 1, 6, 5).exterior, [box(2, 2, 4, 4).exterior])
    mask = rasterise([ring, box(-5, 6, 3, 20)], (8, 8))
    assert mask.sum() == 20 - 4 + 6
    assert mask[7, 2]
    assert not mask[2:4, 2:4].any()


def test_geojson_is_what_qupath_reads_and_comes_back(tmp_path: Path) -> None:
    outlines = [Polygon(box(100.123456, 50, 300, 250).exterior, [box(150, 100, 160, 110).exterior]), box(0, 0, 10, 20)]
    glomeruli = [Glomerulus(outlines[0], 0.987654321, 1.0, 12345.6789), Glomerulus(outlines[1], 0.5, 0.25, None)]
    write_geojson(tmp_path / "a.geojson", glomeruli, "slide a")
    write_geojson(tmp_path / "b.geojson", glomeruli, "slide a")
    text = (tmp_path / "a.geojson").read_text()
    assert text == (tmp_path / "b.geojson").read_text()
    assert not re.search(r"\d\.\d{5}", text)
    content = json.loads(text)
    assert content["type"] == "FeatureCollection"
    first = content["features"][0]
    assert first["properties"]["objectType"] == "annotation"
    assert first["properties"]["classification"]["name"] == "Glomerulus"
    assert first["properties"]["measurements"]["area_um2"] == 12345.6789
    assert len(first["geometry"]["coordinates"]) == 1  # the hole is filled
    write_geojson(tmp_path / "c.geojson", glomeruli, "slide c")
    others = json.loads((tmp_path / "c.geojson").read_text())["features"]
    assert len({str(uuid.UUID(feature["id"])) for feature in [*content["features"], *others]}) == 4
    assert [feature["properties"]["name"] for feature in others] == ["glomerulus-0001", "glomerulus-0002"]
    ring = first["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1]
    back = read_geojson(tmp_path / "a.geojson")
    assert [one.score for one in back] == [0.9877, 0.5]
    assert back[1].area_um2 is None
    assert back[1].diameter_um is None
    assert back[0].polygon.area == pytest.approx(199.88 * 200)


def test_the_representative_glomerulus_is_whole_likely_and_large() -> None:
    def make(score: float, completeness: float, side: float, x: float) -> Glomerulus:
        return Glomerulus(box(x, 0, x + side, side), score, completeness, side**2)

    cut, likely = make(0.99, 0.5, 24, 0), make(0.9, 1.0, 14, 50)
    larger, right = make(0.9, 1.0, 20, 100), make(0.9, 1.0, 14, 70)
    assert rank([cut, right, likely, larger]) == [larger, likely, right, cut]
    surer = make(0.9001, 1.0, 14, 130)  # scores that hardly differ do not decide
    assert rank([surer, larger]) == [larger, surer]
