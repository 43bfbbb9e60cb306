"""Crops of glomeruli at one physical size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from nephroscale.errors import NephroscaleError
from nephroscale.glomeruli.tile_view import TileView, Window

if TYPE_CHECKING:
    from nephroscale.slides.tile_reader import Tiles


def cut_crop(tiles: Tiles, centre: tuple[float, float], crop_um: float, crop_px: int) -> np.ndarray:
    """Cut a square around a point, from the coarsest level that is fine enough.

    Parameters
    ----------
    tiles
        Opened tiles.
    centre
        x, y in raw level-0 pixels.
    crop_um
        Side, µm.
    crop_px
        Side of the result, pixels.

    Returns
    -------
    numpy.ndarray
        [crop_px, crop_px, c] of the tiles' dtype; beyond the slide glass (OM) or 0 (IM).
    """
    if tiles.mpp is None:
        raise NephroscaleError(
            "Crops of a fixed physical size need a scale.",
            where=tiles.path.name,
            fix="Give the scale, or `roi: whole`.",
        )
    view = TileView(tiles, crop_um / crop_px / tiles.mpp)
    x, y = view.from_raw(np.asarray(centre, float))
    half = crop_px / 2
    return view.read(Window(round(float(y) - half), round(float(x) - half), crop_px, crop_px))


def fit_whole(tiles: Tiles, crop_px: int) -> np.ndarray:
    """Fit a whole field into a square, with its aspect ratio and an empty margin.

    Parameters
    ----------
    tiles
        Opened tiles.
    crop_px
        Side of the result, pixels.
    """
    _, height, width = tiles.shape(0)
    view = TileView(tiles, max(height, width) / crop_px)
    field = view.read(Window(0, 0, *view.shape))
    square = np.zeros((crop_px, crop_px, field.shape[2]), field.dtype)
    if view.bright:
        square[:] = view.glass
    h, w = min(crop_px, field.shape[0]), min(crop_px, field.shape[1])
    y, x = (crop_px - h) // 2, (crop_px - w) // 2
    square[y : y + h, x : x + w] = field[:h, :w]
    return square


def to_display(pixels: np.ndarray, bounds: tuple[float, float] | None = None) -> np.ndarray:
    """Convert pixels to 8-bit RGB for figures; fluorescence is stretched and green.

    Parameters
    ----------
    pixels
        uint8 [h, w, 3] or uint16 [h, w, 1].
    bounds
        Values shown as black and as full green; by default the 1st and 99.7th percentile.
    """
    if pixels.shape[2] == 3:
        return pixels
    values = pixels[..., 0].astype(np.float32)
    low, high = bounds or (float(np.percentile(values, 1)), float(np.percentile(values, 99.7)))
    level = np.clip((values - low) / max(high - low, 1.0), 0, 1)
    return np.asarray(cv2.merge([level * 60, level * 255, level * 90]).round().astype(np.uint8))
