"""A synthetic slide whose pixels are not square, with round glomeruli of known place and size."""

import json

import cv2
import numpy as np
import pytest
import tifffile
from shapely.affinity import scale
from shapely.geometry import Point, shape

from nephroscale.arrays import read_array
from nephroscale.cohort.image import ImageRow, TableScale
from nephroscale.errors import Rejected
from nephroscale.glomeruli.contours import rasterise
from nephroscale.glomeruli.glomeruli import find_glomeruli
from nephroscale.glomeruli.overlay import BEST
from nephroscale.glomeruli.settings import DetectionSettings
from nephroscale.glomeruli.tile_view import TileView
from nephroscale.slides.facts import ImageFacts, describe_image
from nephroscale.slides.settings import OmTilingSettings
from nephroscale.slides.tile_reader import open_tiles
from nephroscale.slides.tiles import tile_slide

ROW = ImageRow(id="A", patient_id="P", modality="OM", stain="PAS")
DISCS = ((300.0, 260.0, 90.0), (900.0, 700.0, 75.0))  # x, y and radius, µm
FIELD = (1200, 1000)  # µm
SIDES = [(1.0, 1.04), (1.05, 1.0)]


def draw(sides, *, tile=None, path=None):
    """Write a slide with dark discs in pale tissue, whose pixels have these sides in µm."""
    x, y = np.meshgrid(*((np.arange(int(field / side)) + 0.5) * side for field, side in zip(FIELD, sides, strict=True)))
    rng = np.random.default_rng(0)
    picture = np.where((np.hypot(x - 600, y - 500) < 480)[..., None], (226, 170, 205), 245).astype(np.float32)
    for cx, cy, radius in DISCS:
        picture[np.hypot(x - cx, y - cy) < radius] = (120, 60, 130)
    picture = np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)
    metadata = {"PhysicalSizeX": sides[0], "PhysicalSizeY": sides[1]}
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(picture, photometric="rgb", tile=tile, metadata=metadata)
    return path


def outlines(path, sides):
    """Write the discs as QuPath does, in pixels of the file."""
    features = [
        {"type": "Feature", "properties": {}, "geometry": in_file(disc, sides).__geo_interface__} for disc in DISCS
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def in_file(disc, sides):
    x, y, radius = disc
    return scale(Point(x, y).buffer(radius, 32), 1 / sides[0], 1 / sides[1], origin=(0, 0))


@pytest.mark.slow
@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize(("keep", "tile"), [("pixels", None), ("coordinates", (256, 256))])
def test_a_circle_stays_a_circle_and_its_outline_on_it(tmp_path, sides, keep, tile):
    path = draw(sides, tile=tile, path=tmp_path / "a.ome.tif")
    facts = ImageFacts.from_json(json.loads(json.dumps(describe_image(path, ROW).to_json())))
    assert facts.mpp == 1.0
    assert facts.stretch == pytest.approx(sides)
    settings = OmTilingSettings(mpp=1.0, tile_px=128, normalisation="none", keep=keep)
    tile_slide(path, facts, ROW, settings, None, tmp_path / "tiles")
    tiles = open_tiles(tmp_path / "tiles", path)
    assert tiles.mpp == 1.0
    assert tiles.slide_px == (facts.width, facts.height)
    view = TileView(tiles, 1.0)
    dark = cv2.medianBlur(view.whole(), 3).min(axis=2) < 110
    _, labels, stats, _ = cv2.connectedComponentsWithStats(dark.astype(np.uint8))
    for disc in DISCS:
        x, y = view.from_raw(np.array([disc[0] / sides[0], disc[1] / sides[1]]))
        found = labels == labels[round(float(y)), round(float(x))]
        width, height = stats[labels[round(float(y)), round(float(x))], [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]
        assert (width, height) == pytest.approx((2 * disc[2], 2 * disc[2]), abs=1)
        drawn = rasterise([view.polygon_from_raw(in_file(disc, sides))], view.shape)
        apart = cv2.distanceTransform((found == drawn).astype(np.uint8), cv2.DIST_C, 3)  # no two pixels differ abreast
        assert (found != drawn).sum() < 0.01 * found.sum()
        assert not cv2.erode((apart == 0).astype(np.uint8), np.ones((2, 2), np.uint8)).any()


@pytest.mark.slow
@pytest.mark.parametrize("sides", SIDES)
def test_contours_crops_and_overlay_are_right(tmp_path, sides):
    path = draw(sides, path=tmp_path / "a.ome.tif")
    settings = OmTilingSettings(mpp=1.0, tile_px=128, normalisation="none")
    tile_slide(path, describe_image(path, ROW), ROW, settings, None, tmp_path / "tiles")
    detection = DetectionSettings(crop_um=256, crop_px=256)
    drawn, out = outlines(tmp_path / "a.geojson", sides), tmp_path / "out"
    find_glomeruli(tmp_path / "tiles", None, ROW, detection, out, "0" * 64, drawn)
    found = json.loads((out / "glomeruli.geojson").read_text())["features"]
    polygons = {shape(one["geometry"]): one["properties"]["measurements"] for one in found}
    for disc in DISCS:
        true = in_file(disc, sides)
        polygon = max(polygons, key=lambda each: each.intersection(true).area)
        assert polygon.intersection(true).area / polygon.union(true).area > 0.999
        assert polygons[polygon]["diameter_um"] == pytest.approx(2 * disc[2], rel=0.005)
    for crop in np.asarray(read_array(out / "crops", "crops")):
        dark = cv2.medianBlur(crop, 3).min(axis=2) < 110
        down, across = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
        assert abs(np.ptp(down) - np.ptp(across)) <= 1
        assert (down.mean(), across.mean()) == pytest.approx((127.5, 127.5), abs=1)
    picture = cv2.imread(str(out / "overlay.png"))[..., ::-1]
    down, across = np.nonzero((np.abs(picture.astype(int) - BEST) < 12).all(2))  # round the representative glomerulus
    um = open_tiles(tmp_path / "tiles").shape()[2] / picture.shape[1]
    assert np.ptp(across) == pytest.approx(np.ptp(down), abs=2)
    assert np.ptp(across) * um / 2 in [pytest.approx(disc[2], abs=3) for disc in DISCS]


@pytest.mark.slow
def test_a_table_that_overrules_the_file_leaves_its_pixels(tmp_path):
    path = draw((1.0, 1.04), path=tmp_path / "a.ome.tif")
    row = ImageRow(id="A", patient_id="P", modality="OM", stain="PAS", scale=TableScale(1.02, "um", wins=True))
    facts = describe_image(path, row)
    assert (facts.mpp, facts.stretch) == (1.02, None)
    assert "stretch" not in facts.to_json()


def test_pixels_that_differ_by_more_than_5_percent_are_refused(tmp_path):
    path = draw((1.0, 1.06), path=tmp_path / "a.ome.tif")
    with pytest.raises(Rejected, match="not square"):
        describe_image(path, ROW)
