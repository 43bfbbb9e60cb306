"""Outlines that are displaced, mirrored, in µm, or of a reduced copy are refused; those in their place are not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from shapely import transform
from shapely.affinity import translate
from shapely.geometry import Point, mapping

from nephroscale.errors import Rejected
from nephroscale.glomeruli.contours import rasterise
from nephroscale.glomeruli.outlines import outlines_on, read_outlines
from nephroscale.glomeruli.placement import find_misplacement
from nephroscale.glomeruli.settings import OutlineSettings
from nephroscale.glomeruli.tile_view import TileView
from nephroscale.slides.tile_reader import open_tiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shapely.geometry import Polygon

CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "displaced by about 200 pixels along x and 1[4-6]0 along y": lambda points: points + np.array([200, 150]),
    "displaced by about -(29|30|31)0 pixels along x and -?1?0 along y": lambda points: points - np.array([300, 0]),
    "mirrored left to right": lambda points: np.array([1920, 0]) + points * [-1, 1],
    "mirrored upside down": lambda points: np.array([0, 1018]) + points * [1, -1],
    "in µm": lambda points: points * 0.6667,
    "drawn on a reduced or enlarged copy": lambda points: points * 0.5,
}


@pytest.fixture(scope="module", params=["C1", "C2"])
def field(
    request: pytest.FixtureRequest,
    shared: Path,
    tmp_path_factory: pytest.TempPathFactory,
    make_tiles: Callable[..., Path],
) -> tuple[TileView, list[Polygon]]:
    """A real field at 0.6667 µm per pixel, with its outlines."""
    folder = shared / "data/kidney_om"
    pixels = np.ascontiguousarray(cv2.imread(str(folder / f"vegf_ihc_{request.param}.jpg"))[..., ::-1])
    tiles = make_tiles(tmp_path_factory.mktemp("field") / "f.ome.zarr", pixels, mpp=0.6667)
    drawn = read_outlines(folder / f"vegf_ihc_{request.param}.imagej_rois.zip")
    return TileView.at_scale(open_tiles(tiles), 2.0), drawn.polygons


@pytest.mark.slow
def test_outlines_of_a_real_field_are_found_wherever_they_are_moved(
    field: tuple[TileView, list[Polygon]], tmp_path: Path
) -> None:
    view, outlines = field
    path = tmp_path / "a.geojson"
    assert find_misplacement(view, outlines) == ""
    nearby = [translate(one, 20, -15) for one in outlines]
    assert find_misplacement(view, nearby) == ""
    assert find_misplacement(view, outlines[:3]) == ""
    for what, change in CHANGES.items():
        path.write_text(json.dumps([mapping(transform(one, change)) for one in outlines]))
        with pytest.raises(Rejected, match=f"lie beside the glomeruli: they are {what}; export them in pixels"):
            outlines_on(view, path, OutlineSettings())


@pytest.mark.slow
def test_a_mask_as_large_as_the_slide_may_be_mirrored(field: tuple[TileView, list[Polygon]], tmp_path: Path) -> None:
    view, outlines = field
    width, height = (int(side) for side in view.tiles.slide_px)
    mask, path = rasterise(outlines, (height, width)).view(np.uint8), tmp_path / "mask.png"
    cv2.imwrite(str(path), mask)
    assert outlines_on(view, path, OutlineSettings()).outlines
    cv2.imwrite(str(path), mask[::-1])
    with pytest.raises(Rejected, match="they are mirrored upside down"):
        outlines_on(view, path, OutlineSettings())


@pytest.mark.slow
def test_exchanged_coordinates_are_found(
    tmp_path: Path, make_tiles: Callable[..., Path], make_om: Callable[..., np.ndarray]
) -> None:
    """Near the diagonal of a square slide, exchanged coordinates are still on tissue."""
    places = [(100.0, 450.0), (200.0, 530.0), (80.0, 250.0), (330.0, 470.0), (430.0, 540.0)]
    discs = [(y, x, 45.0) for y, x in places]
    view = TileView.at_scale(open_tiles(make_tiles(tmp_path / "s", make_om(600, 600, discs))), 2.0)
    true = [Point(x, y).buffer(radius) for y, x, radius in discs]
    assert find_misplacement(view, true) == ""
    swapped = [Point(y, x).buffer(radius) for y, x, radius in discs]
    assert find_misplacement(view, swapped) == "written with x and y exchanged"


def test_outlines_of_what_does_not_stand_out_are_kept(
    tmp_path: Path, make_tiles: Callable[..., Path], make_om: Callable[..., np.ndarray]
) -> None:
    """Glomeruli as pale as their surroundings are no evidence, and neither is a slide without any."""
    view = TileView.at_scale(open_tiles(make_tiles(tmp_path / "s", make_om(448, 640, [], seed=3))), 2.0)
    square = np.array([[0, 0], [90, 0], [90, 90], [0, 90]])
    path = tmp_path / "a.geojson"
    rings = [(square + np.array([60 + 140 * k, 60 + 150 * (k % 3)])).tolist() for k in range(4)]
    path.write_text(json.dumps([{"type": "Polygon", "coordinates": [ring]} for ring in rings]))
    assert len(outlines_on(view, path, OutlineSettings()).outlines) == 4
