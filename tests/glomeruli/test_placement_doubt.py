"""One to three outlines that lie beside the glomeruli are told, unless this may be chance."""

from __future__ import annotations

import json
from itertools import combinations
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from shapely import transform
from shapely.geometry import Point, mapping

from nephroscale.glomeruli.outlines import outlines_on, read_outlines
from nephroscale.glomeruli.placement_doubt import doubtful_placement
from nephroscale.glomeruli.settings import OutlineSettings
from nephroscale.glomeruli.tile_view import TileView
from nephroscale.slides.tile_reader import open_tiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shapely.geometry import Polygon

SETTINGS = OutlineSettings()


@pytest.fixture(scope="module")
def slide(
    tmp_path_factory: pytest.TempPathFactory, make_tiles: Callable[..., Path], make_om: Callable[..., np.ndarray]
) -> tuple[TileView, list[Polygon]]:
    """A slide of tubules with six glomeruli, and their outlines."""
    discs = [(200, 250, 40), (350, 900, 45), (620, 420, 38), (150, 1250, 42), (700, 1100, 44), (480, 1450, 40)]
    pixels = make_om(800, 1600, discs)
    tiles = make_tiles(tmp_path_factory.mktemp("slide") / "s.ome.zarr", pixels, mpp=2.0)
    return TileView.at_scale(open_tiles(tiles), 2.0), [Point(x, y).buffer(radius) for y, x, radius in discs]


def moved(outlines: list[Polygon], change: Callable[[np.ndarray], np.ndarray]) -> list[Polygon]:
    return [transform(one, change) for one in outlines]


def test_outlines_in_their_place_are_not_doubted(slide: tuple[TileView, list[Polygon]]) -> None:
    view, outlines = slide
    for few in (outlines[:1], outlines[:2], outlines):
        assert doubtful_placement(view, few, SETTINGS) == ""
    assert doubtful_placement(view, moved(outlines[:2], lambda points: points + 12), SETTINGS) == ""


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda points: [1600, 0] + points * [-1, 1], "mirrored left to right"),
        (lambda points: [0, 800] + points * [1, -1], "mirrored upside down"),
        (lambda points: points[:, ::-1], "written with x and y exchanged"),
        (lambda points: points / 4, "drawn on a reduced or enlarged copy"),
        (lambda points: np.stack([points[:, 1], 1600 - points[:, 0]], 1), "turned by 90 degrees to the left"),
    ],
)
def test_a_change_of_two_outlines_is_told(
    slide: tuple[TileView, list[Polygon]], change: Callable[[np.ndarray], np.ndarray], what: str, tmp_path: Path
) -> None:
    view, outlines = slide
    two = [outlines[1], outlines[4]] if "exchanged" in what else outlines[:2]
    assert f"if they were {what}" in doubtful_placement(view, moved(two, change), SETTINGS)
    if "left to right" in what:
        path = tmp_path / "a.geojson"
        path.write_text(json.dumps([mapping(one) for one in moved(two, change)]))
        assert what in outlines_on(view, path, SETTINGS).doubt


def test_a_displacement_shows_with_three_outlines_and_never_with_one(
    slide: tuple[TileView, list[Polygon]],
) -> None:
    view, outlines = slide
    away = moved(outlines[:3], lambda points: points + np.array([130, 60]))
    assert "displaced by about 130 pixels along x and 60 along y" in doubtful_placement(view, away, SETTINGS)
    assert doubtful_placement(view, away[:1], SETTINGS) == ""


@pytest.mark.slow
def test_two_outlines_of_a_real_field_are_told_where_they_are_exchanged(
    shared: Path, tmp_path: Path, make_tiles: Callable[..., Path]
) -> None:
    folder = shared / "data/kidney_om"
    pixels = np.ascontiguousarray(cv2.imread(str(folder / "vegf_ihc_C1.jpg"))[..., ::-1])
    view = TileView.at_scale(open_tiles(make_tiles(tmp_path / "f.ome.zarr", pixels, mpp=0.6667)), 2.0)
    outlines = read_outlines(folder / "vegf_ihc_C1.imagej_rois.zip").polygons
    for two in list(combinations(outlines, 2))[::8]:
        assert doubtful_placement(view, two, SETTINGS) == ""
        assert "x and y exchanged" in doubtful_placement(view, moved(two, lambda points: points[:, ::-1]), SETTINGS)
