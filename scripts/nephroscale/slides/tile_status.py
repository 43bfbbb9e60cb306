"""The status of a tile, and where the pixels of tiles that keep coordinates only come from."""

from __future__ import annotations

from enum import IntEnum

SLIDE_PIXELS = "nephroscale.slides.slide_pixels"
"""Module that reads the pixels of tiles that keep coordinates only; it has a function `open_pixels`."""


class TileStatus(IntEnum):
    """Status of a tile: the values of the label image `labels/tissue`, in lower case the names in `tiles.csv`."""

    BACKGROUND = 0
    TISSUE = 1
    UNREADABLE = 2
