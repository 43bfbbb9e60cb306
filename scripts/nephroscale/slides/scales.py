"""Scales at which a slide is read: that of its tiles and that of its overview."""

from __future__ import annotations

from dataclasses import dataclass

from nephroscale.errors import Rejected
from nephroscale.slides.readers.base import SlideReader
from nephroscale.slides.settings import TilingSettings
from nephroscale.slides.slide_view import TOLERANCE, snap_to_level

FIELD_OVERVIEW_PX = 512


@dataclass(frozen=True)
class Scales:
    """Scales of a slide's tiles and of its overview.

    Attributes
    ----------
    tile
        Raw level-0 pixels per pixel of the tiles.
    overview
        Raw level-0 pixels per pixel of the overview.
    mpp
        µm per pixel of the tiles; None for a field of unknown scale.
    """

    tile: float
    overview: float
    mpp: float | None

    @property
    def ratio(self) -> float:
        """Pixels of the tiles per pixel of the overview."""
        return self.overview / self.tile

    @property
    def overview_mpp(self) -> float | None:
        """µm per pixel of the overview."""
        return None if self.mpp is None else self.mpp * self.ratio


def choose_scales(
    reader: SlideReader, mpp: float | None, settings: TilingSettings, *, whole_field: bool = False
) -> Scales:
    """Choose the scales at which a slide is read.

    Parameters
    ----------
    reader
        An open slide.
    mpp
        µm per pixel of its level 0; None where unknown: its pixels are then kept.
    settings
        `mpp` and `tissue_mpp`.
    whole_field
        Whether one glomerulus fills the image, which may then be coarser than `settings.mpp`.

    Raises
    ------
    Rejected
        When the slide is more than 5 % coarser than the tiles.
    """
    longer = max(reader.width, reader.height)
    if mpp is None:
        return Scales(1.0, max(1.0, longer / FIELD_OVERVIEW_PX), None)
    if mpp > settings.mpp * (1 + TOLERANCE) and not whole_field:
        raise Rejected(f"it is too coarse: {mpp:g} µm per pixel, but {settings.mpp:g} are needed")
    tile = snap_to_level(reader, max(1.0, settings.mpp / mpp))
    # The overview of a small field keeps at least 64 pixels.
    overview = min(settings.tissue_mpp / mpp, longer / 64)
    return Scales(tile, max(tile, overview), mpp * tile)
