from dataclasses import replace

import numpy as np
import pytest

from nephroscale.errors import Rejected
from nephroscale.slides.readers.base import UnreadableRegion
from nephroscale.slides.tile_grid import make_grid, sample_tiles, sample_tissue
from nephroscale.slides.tile_status import TileStatus
from nephroscale.slides.tissue import TissueMask


class View:
    """A view of 500 x 400 pixels whose level is the column; a region may be unreadable."""

    width, height = 500, 400

    def __init__(self, bad=None):
        self.bad = bad

    def read(self, x, y, width, height):
        if self.bad == (x, y):
            raise UnreadableRegion("bad")
        pixels = np.broadcast_to(np.arange(x, x + width)[None, :, None], (height, width, 1)).astype(np.uint16)
        return pixels, np.ones((height, width), bool)


@pytest.fixture
def masks():
    """Tissue over four tiles of 128 and one unreadable tile, at an eighth of the scale."""
    tissue, unreadable = np.zeros((2, 50, 63), bool)
    tissue[16:48, 16:48] = True
    unreadable[0:4, 48:50] = True
    return TissueMask(tissue, np.zeros_like(tissue)), unreadable


def test_the_grid_is_cropped_to_tissue_and_unreadable_tiles(masks, om_settings):
    grid = make_grid(View(), *masks, 8.0, om_settings)
    assert (grid.x, grid.y, grid.width, grid.height) == (128, 0, 372, 384)
    assert grid.status.tolist() == [[0, 0, 2], [1, 1, 0], [1, 1, 0]]
    assert grid.fraction.tolist() == [[0, 0, 0], [1, 1, 0], [1, 1, 0]]
    assert grid.box(0, 2) == (256, 0, 116, 128)  # cut by the edge of the slide


def test_the_tissue_fraction_is_exact_between_pixels_of_the_mask(om_settings):
    tissue = np.zeros((50, 63), bool)
    tissue[:, :20] = True
    grid = make_grid(
        View(), TissueMask(tissue, ~tissue & False), ~tissue & False, 8.0, replace(om_settings, tissue_fraction=0.2)
    )
    assert grid.fraction[0].tolist() == [1, 0.25]


def test_tiles_under_a_pen_mark_are_left_out(masks, om_settings):
    masks[0].pen[16:48, 16:26] = True
    assert make_grid(View(), *masks, 8.0, om_settings).status.tolist() == [[0, 2], [1, 0], [1, 0]]
    grid = make_grid(View(), *masks, 8.0, replace(om_settings, max_pen_fraction=0.7))
    assert grid.status[1, 0] == TileStatus.TISSUE
    assert grid.pen[1].tolist() == [0.625, 0, 0]
    masks[0].pen[:] = True
    with pytest.raises(Rejected, match="no tissue was found but under pen marks"):
        make_grid(View(), *masks, 8.0, om_settings)


def test_a_slide_without_tissue_is_rejected(masks, om_settings):
    with pytest.raises(Rejected, match="parts of the slide cannot be read; look at the image") as verdict:
        make_grid(View(), TissueMask(*np.zeros((2, 50, 63), bool)), masks[1], 8.0, om_settings)
    assert verdict.value.figures == {"unreadable_tiles": 1}


def test_samples_skip_unreadable_tiles(masks, om_settings):
    grid = make_grid(View(), *masks, 8.0, om_settings)
    assert [(tile.x, tile.y) for tile in sample_tiles(View(), grid)] == [(128, 128), (256, 128), (128, 256), (256, 256)]
    assert len(list(sample_tiles(View(), grid, count=2))) == 2
    assert [(tile.x, tile.y) for tile in sample_tiles(View(bad=(256, 128)), grid)] == [
        (128, 128),
        (128, 256),
        (256, 256),
    ]
    assert grid.status[1, 1] == TileStatus.TISSUE


def test_only_pixels_of_tissue_are_sampled(masks, om_settings):
    grid = make_grid(View(), *masks, 8.0, om_settings)
    masks[0].tissue[:, :24] = False
    pixels = sample_tissue(View(), grid, masks[0].tissue, 8.0)
    assert pixels.shape == (256 * (384 - 192), 1)
    assert pixels.min() == 192
    assert pixels.max() == 383
