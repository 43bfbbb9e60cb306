"""The status of a tile."""

from __future__ import annotations

from enum import IntEnum


class TileStatus(IntEnum):
    """Status of a tile: the values of the label image `labels/tissue`, in lower case the names in `tiles.csv`."""

    BACKGROUND = 0
    TISSUE = 1
    UNREADABLE = 2
