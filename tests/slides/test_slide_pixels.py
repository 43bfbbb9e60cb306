import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image

from nephroscale.cohort.image import TableScale
from nephroscale.errors import NephroscaleError
from nephroscale.slides.facts import describe_image
from nephroscale.slides.stain import ReinhardFit, StainReference
from nephroscale.slides.tile_reader import open_tiles
from nephroscale.slides.tiles import tile_slide
from support.fluorescence import draw_glomerulus, in_colour, write_over

pytestmark = pytest.mark.slow

TABLES = ("tiles.csv", "qc.json", "thumbnail.png", "mask.png")


@pytest.fixture(scope="module")
def he(root):
    fitted = StainReference.from_json(json.loads((root / "resources/stain/he.json").read_text())["HE"])
    return {"HE": replace(fitted, reinhard=ReinhardFit([60.0, 30.0, -10.0], [15.0, 8.0, 6.0], 95.0, None))}


def tile_twice(path, row, settings, references, folder):
    """The tiles of a slide with pixels, and those with coordinates, which read the slide."""
    facts = describe_image(path, row)
    for keep in ("pixels", "coordinates"):
        tile_slide(path, facts, row, replace(settings, keep=keep), references, folder / keep)
    return open_tiles(folder / "pixels"), open_tiles(folder / "coordinates", path)


def check_equal(stored, read):
    for name in TABLES:
        assert (stored.path / name).read_bytes() == (read.path / name).read_bytes(), name
    assert read.levels == stored.levels > 1
    assert read.dtype == stored.dtype
    np.testing.assert_array_equal(read.status, stored.status)
    random = np.random.default_rng(0)
    for level in reversed(range(stored.levels)):
        _, height, width = stored.shape(level)
        assert read.shape(level) == stored.shape(level)
        for _ in range(4):  # regions that reach past the edges and across tiles
            y, x = int(random.integers(-9, height)), int(random.integers(-9, width))
            region = level, y, x, int(random.integers(1, height + 9)), int(random.integers(1, width + 9))
            np.testing.assert_array_equal(read.read(*region), stored.read(*region))
        whole = stored.read(level, 0, 0, height, width)
        assert whole.any()
        np.testing.assert_array_equal(read.read(level, 0, 0, height, width), whole)


@pytest.fixture(scope="module")
def twice(tmp_path_factory, slide, he, om_settings, make_row):
    return tile_twice(slide, make_row("OM", stain="HE"), om_settings, he, tmp_path_factory.mktemp("twice"))


@pytest.mark.parametrize("chosen", [("none", 0.37), ("reinhard", 0.61)])
def test_tiles_read_from_the_slide_equal_stored_ones(tmp_path, slide, he, om_settings, make_row, chosen):  # noqa: PLR0917
    settings = replace(om_settings, normalisation=chosen[0], mpp=chosen[1])
    stored, read = tile_twice(slide, make_row("OM", stain="HE"), settings, he, tmp_path)
    assert json.loads((stored.path / "qc.json").read_text())["normalisation"] == chosen[0].replace("none", "identity")
    check_equal(stored, read)


def test_damaged_and_blurred_tiles_are_absent_in_both(tmp_path, damaged, om_settings, make_row):
    settings = replace(om_settings, normalisation="none", min_focus=0.5)
    stored, read = tile_twice(damaged, make_row("OM", stain="HE"), settings, None, tmp_path)
    assert len(np.unique(stored.status)) == 3
    assert "out of focus" in (stored.path / "tiles.csv").read_text()
    check_equal(stored, read)


def test_memory_holds_few_tiles_of_the_finest_level(twice, slide, monkeypatch):
    monkeypatch.setattr("nephroscale.slides.slide_pixels.KEPT_BYTES", 3 * 3 * 128 * 128)
    read = open_tiles(twice[1].path, slide)
    check_equal(twice[0], read)
    assert len(read._pixels._recent) == 3


def test_no_pixel_is_written(twice):
    stored, read = twice
    assert json.loads((read.path / "qc.json").read_text())["normalisation"] == "macenko"
    assert not [path for path in read.path.rglob("*") if path.parent.name == "c" and "labels" not in path.parts]
    taken, needed = (sum(p.stat().st_size for p in t.path.rglob("*") if p.is_file()) for t in (stored, read))
    assert needed < taken / 2


def test_without_the_slide_the_table_can_be_read_and_pixels_cannot(twice):
    alone = open_tiles(twice[1].path)
    assert (alone.levels, alone.shape(), alone.mpp) == (twice[0].levels, twice[0].shape(), twice[0].mpp)
    with pytest.raises(NephroscaleError, match=r"no pixels \(keep: coordinates\)"):
        alone.read(0, 0, 0, 1, 1)


def test_a_photograph_of_one_dye_with_a_bar(tmp_path, im_settings, make_row):
    path = tmp_path / "field.png"
    Image.fromarray(write_over(in_colour(draw_glomerulus(), (0, 1, 0)), (255, 255, 255))).save(path)
    stored, read = tile_twice(
        path, make_row("IM", marker="IgG", scale=TableScale(0.5, "um")), im_settings, None, tmp_path
    )
    assert json.loads((read.path / "qc.json").read_text())["marked_share"] > 0
    check_equal(stored, read)


def test_a_fluorescence_slide_of_several_channels(tmp_path, im_settings, make_row):
    grey = draw_glomerulus().astype(np.uint16) * 9
    path = tmp_path / "slide.ome.tif"
    channels = {"axes": "CYX", "Channel": {"Name": ["DAPI", "IgG"]}, "PhysicalSizeX": 0.4, "PhysicalSizeY": 0.4}
    tifffile.imwrite(path, np.stack([grey[::-1], grey]), metadata=channels, tile=(128, 128))
    stored, read = tile_twice(path, make_row("IM", marker="IgG"), im_settings, None, tmp_path)
    assert json.loads((read.path / "qc.json").read_text())["channel"] == 1
    check_equal(stored, read)
