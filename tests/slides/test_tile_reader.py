import numpy as np
import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.slides.pyramid import write_pyramid, write_tissue_label
from nephroscale.slides.tile_reader import open_tiles

ATTRIBUTES = {
    "origin": [512.0, 0.0],
    "scale": 2.0,
    "tile_px": 64,
    "modality": "IM",
    "stain": "IgG",
    "calibration": "calibrated",
}


@pytest.fixture
def tiles(tmp_path):
    image = np.arange(1, 200 * 300 + 1, dtype=np.uint16).reshape(1, 200, 300)
    levels = write_pyramid(
        tmp_path / "a",
        image.shape,
        image.dtype,
        lambda y, x, h, w: image[:, y : y + h, x : x + w],
        tile_px=64,
        mpp=0.5,
        attributes={**ATTRIBUTES, "mpp": 0.5},
        colours={"IgG": "FFFFFF"},
    )
    status = np.zeros((4, 5), np.uint8)
    status[1, 2], status[3, 4] = 1, 2
    write_tissue_label(tmp_path / "a", status, tile_px=64, mpp=0.5, levels=levels)
    return open_tiles(tmp_path / "a"), image


def test_reading_inside_across_and_outside(tiles):
    opened, image = tiles
    np.testing.assert_array_equal(opened.read(0, 10, 20, 30, 40), image[:, 10:40, 20:60])
    edge = opened.read(0, -5, 290, 20, 20)
    np.testing.assert_array_equal(edge[:, 5:, :10], image[:, :15, 290:])
    assert not edge[:, :5].any()
    assert not edge[:, :, 10:].any()
    assert opened.read(0, 500, 500, 4, 4).shape == (1, 4, 4)


def test_attributes_of_the_tiles(tiles):
    opened, _ = tiles
    assert (opened.mpp, opened.origin, opened.scale, opened.tile_px) == (0.5, (512.0, 0.0), 2.0, 64)
    assert (opened.modality, opened.stain, opened.calibration, opened.levels) == ("IM", "IgG", "calibrated", 3)
    assert opened.shape(0) == (1, 200, 300)
    assert opened.shape(2) == (1, 50, 75)


def test_no_tiles_is_an_error(tmp_path):
    with pytest.raises(NephroscaleError, match="has no tiles"):
        open_tiles(tmp_path / "absent")
