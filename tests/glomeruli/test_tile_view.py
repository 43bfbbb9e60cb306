from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.glomeruli.tile_view import GLASS, TileView, Window
from nephroscale.slides.tile_reader import open_tiles


@pytest.fixture
def slide(tmp_path: Path, make_tiles: Callable[..., Path]) -> TileView:
    rng = np.random.default_rng(0)
    pixels = rng.integers(90, 200, (256, 320, 3)).astype(np.uint8)
    status = np.ones((4, 5), np.uint8)
    status[0, :2], status[3, 4] = 0, 2
    return TileView.at_scale(
        open_tiles(make_tiles(tmp_path / "s", pixels, status=status, origin=(10.0, 20.0), scale=4.0)), 4.0
    )


def test_absent_glass_is_bright_and_unreadable_is_black(slide: TileView) -> None:
    assert slide.shape == (128, 160)
    pixels = slide.read(Window(-8, -8, 144, 176))
    assert (pixels[:8] == GLASS).all()
    assert (pixels[8:40, 8:72] == GLASS).all()
    assert (pixels[104:136, 136:168] == 0).all()
    assert (pixels[136:] == GLASS).all()
    inner = pixels[40:104, 8:136]
    assert inner.min() >= 90
    assert inner.max() <= 200


@pytest.mark.parametrize("mpp", [1.3, 2.0, 3.0, 4.0, 9.0])
def test_windows_equal_the_whole_view(slide: TileView, mpp: float) -> None:
    view = TileView.at_scale(slide.tiles, mpp)
    whole = view.whole()
    assert whole.shape[:2] == view.shape
    part = view.read(Window(5, 7, 20, 20))
    if mpp in (2.0, 4.0):
        assert np.array_equal(part, whole[5:25, 7:27])
    elif mpp < 9:
        assert np.abs(part.astype(int) - whole[5:25, 7:27]).mean() < 25


def test_points_survive_conversion_to_raw_pixels_and_back(slide: TileView) -> None:
    raw = slide.to_raw(np.array([[0.0, 0.0], [10.0, 5.0]]))
    assert raw.tolist() == [[10, 20], [90, 60]]
    assert slide.from_raw(raw).tolist() == [[0, 0], [10, 5]]


def test_a_view_at_a_scale_needs_tiles_with_one(tmp_path: Path, make_tiles: Callable[..., Path]) -> None:
    tiles = open_tiles(make_tiles(tmp_path / "s", np.ones((128, 128, 1), np.uint16), modality="IM", mpp=None))
    with pytest.raises(NephroscaleError, match="scale of these tiles is unknown"):
        TileView.at_scale(tiles, 4.0)
