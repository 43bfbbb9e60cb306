"""Heat of instances in pixels of the raw image, against outlines."""

import json

import numpy as np
import pytest
from shapely import box

from nephroscale.deposits.localisation import Heat, localise, read_deposit_outlines
from nephroscale.errors import NephroscaleError


def heat(maps):
    """A raw image of 200 x 100 pixels (width x height) in the middle rows of a square instance."""
    return Heat(np.array(maps, float)[None], np.array([[0, 0, 100, 200]]), np.array([[0.25, 0.0, 0.5, 1.0]]))


def test_cells_of_the_margin_are_left_out_and_others_are_in_raw_pixels():
    centres, values, side = heat(np.arange(16).reshape(4, 4)).cells()
    assert side == 50
    assert centres.tolist() == [[25, 25], [75, 25], [125, 25], [175, 25], [25, 75], [75, 75], [125, 75], [175, 75]]
    assert values.tolist() == [4, 5, 6, 7, 8, 9, 10, 11]


def test_the_hottest_cell_hits_or_misses_an_outline():
    maps = np.zeros((4, 4))
    maps[1, 2] = 1  # centre (125, 25)
    hit = localise(heat(maps), box(110, 10, 140, 40))
    assert (hit.hit, hit.precision) == (True, 1.0)
    assert hit.precision_by_chance == pytest.approx(1 / 8)
    missed = localise(heat(maps), box(15, 65, 35, 85))
    assert not missed.hit
    assert missed.precision == pytest.approx(1 / 8)


def test_heat_in_the_margin_does_not_count():
    maps = np.zeros((4, 4))
    maps[0, 0], maps[2, 3] = 9, 1
    assert localise(heat(maps), box(160, 60, 190, 90)).hit


def test_outlines_between_the_cells_are_not_scored():
    assert localise(heat(np.ones((4, 4))), box(45, 45, 55, 55)) is None


def test_outlines_are_read_as_one_shape(tmp_path):
    ring = [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}}
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature, feature]}))
    assert read_deposit_outlines(path).area == 100
    for wrong in ("{}", "[1, 2]", '{"features": [{"geometry": null}]}'):
        path.write_text(wrong)
        with pytest.raises(NephroscaleError, match=r"a\.geojson"):
            read_deposit_outlines(path)
