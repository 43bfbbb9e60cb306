from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nephroscale.glomeruli.segmenter_pixels import pixel_conversion
from nephroscale.glomeruli.tile_view import GLASS, TileView
from nephroscale.slides.tile_reader import open_tiles
from support.fluorescence import draw_field

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def converted(path: Path) -> np.ndarray:
    view = TileView.at_scale(open_tiles(path), 4.0)
    return pixel_conversion(view)(view.whole())


def test_the_exposure_of_an_im_image_does_not_matter(tmp_path: Path, make_tiles: Callable[..., Path]) -> None:
    field = draw_field(0, side=256).pixels
    seen = [
        converted(make_tiles(tmp_path / str(gain), (field // 4 * gain).astype(np.uint16), modality="IM"))
        for gain in (1, 4, 20)
    ]
    assert seen[0].shape == (128, 128, 1)
    assert seen[0].dtype == np.uint8
    for other in seen[1:]:
        assert np.abs(other.astype(int) - seen[0]).max() <= 1
    tissue = np.sort(seen[0].ravel())
    assert tissue[0] < 100
    assert tissue[-1] > 200  # bright pixels are dark, as where a stain absorbs


def test_background_has_the_level_of_glass(tmp_path: Path, make_tiles: Callable[..., Path]) -> None:
    field = draw_field(0, side=256).pixels
    status = np.array([[0] * 4, [1] * 4, [1] * 4, [1] * 4], np.uint8)
    seen = converted(make_tiles(tmp_path / "s", field, modality="IM", status=status))
    assert (seen[:32] == GLASS).all()
    assert (seen[32:] < GLASS).mean() > 0.9
    black = np.zeros((128, 128, 1), np.uint16)
    for name, tiles in (("black", None), ("empty", np.zeros((2, 2), np.uint8))):
        assert (converted(make_tiles(tmp_path / name, black, modality="IM", status=tiles)) == GLASS).all()


def test_om_is_read_as_it_is(tmp_path: Path, make_tiles: Callable[..., Path]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    view = TileView.at_scale(open_tiles(make_tiles(tmp_path / "s", pixels)), 2.0)
    assert np.array_equal(pixel_conversion(view)(pixels), pixels)
