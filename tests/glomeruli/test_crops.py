from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.glomeruli.crops import cut_crop, fit_whole, to_display
from nephroscale.slides.tile_reader import open_tiles


def test_a_crop_is_centred_and_padded_with_glass(tmp_path: Path, make_tiles: Callable[..., Path]) -> None:
    pixels = np.full((256, 256, 3), 100, np.uint8)
    pixels[120:136, 120:136] = 20
    tiles = open_tiles(make_tiles(tmp_path / "s", pixels, origin=(50.0, 10.0), scale=2.0))
    crop = cut_crop(tiles, (50 + 2 * 128, 10 + 2 * 128), crop_um=128.0, crop_px=64)
    assert (crop[24:40, 24:40] == 20).all()
    assert (crop[:20] == 100).all()
    corner = cut_crop(tiles, (50.0, 10.0), crop_um=128.0, crop_px=64)
    assert (corner[:32] > 200).all()
    assert (corner[33:, 33:] == 100).all()


def test_a_crop_needs_a_scale(tmp_path: Path, make_tiles: Callable[..., Path]) -> None:
    tiles = open_tiles(make_tiles(tmp_path / "s", np.ones((64, 64, 1), np.uint16), modality="IM", mpp=None))
    with pytest.raises(NephroscaleError, match="need a scale"):
        cut_crop(tiles, (0.0, 0.0), 256.0, 64)
    assert fit_whole(tiles, 32).shape == (32, 32, 1)


def test_fluorescence_is_shown_in_green() -> None:
    values = np.linspace(0, 65535, 400).reshape(20, 20, 1).astype(np.uint16)
    shown = to_display(values, bounds=(0.0, 65535.0))
    assert shown[-1, -1].tolist() == [60, 255, 90]
    assert shown[0, 0].tolist() == [0, 0, 0]
    colour = np.zeros((4, 4, 3), np.uint8)
    assert to_display(colour) is colour
