"""The exposure of a fluorescence image: as its file states it, as the table gives it, and whether both can be right."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nephroscale.errors import Rejected
from nephroscale.slides.field import named_channel

if TYPE_CHECKING:
    from nephroscale.cohort.image import ImageRow
    from nephroscale.slides.readers.base import SlideReader

PLAUSIBLE_MS = (0.01, 60_000.0)  # of a camera, as a file states it
SAME = 0.05  # relative difference up to which two exposures are one
UNITS = {1e-3: "seconds", 1e3: "microseconds", 1e6: "nanoseconds"}
"""Units that a table seems to have, by how many times its number is that of the file."""


class StatedExposure(NamedTuple):
    """The exposure of the marker's channel in ms, as the file states it (None for none), and what a person checks."""

    ms: float | None = None
    doubt: str = ""


def read_exposure(slide: SlideReader, row: ImageRow) -> StatedExposure:
    """Read the exposure of an IM image from its file, and compare it with the table.

    Parameters
    ----------
    slide
        An open image.
    row
        Its table row: `exposure_ms`, and what names the marker's channel.
    """
    stated = _of_channel(slide, row)
    if stated is None:
        return StatedExposure()
    low, high = PLAUSIBLE_MS
    table = row.exposure_ms
    if not low <= stated <= high:
        doubt = f"its file states an implausible exposure ({stated / 1000:g} s), which is not used: give exposure_ms"
        return StatedExposure(doubt="" if table else doubt)
    if not table or abs(stated / table - 1) <= SAME:
        return StatedExposure(stated)
    for factor, unit in UNITS.items():
        if abs(table / (stated * factor) - 1) <= SAME:
            return StatedExposure(
                stated,
                f"exposure_ms is {factor:g} times the exposure that the file states: the table seems to have {unit}, "
                "but it needs milliseconds",
            )
    return StatedExposure(
        stated, f"exposure_ms is {table:g} in the table (used), but the file states {stated:g} ms: correct one of them"
    )


def _of_channel(slide: SlideReader, row: ImageRow) -> float | None:
    known = [exposure for exposure in slide.exposures_ms if exposure is not None]
    if not known:
        return None
    if slide.rgb:  # of one exposure, or of several of which any may be the dye's
        return known[0] if len(set(known)) == 1 else None
    try:
        channel = named_channel(slide, row)
    except Rejected:  # tiles of it are rejected for this reason
        return None
    return slide.exposures_ms[channel] if channel is not None and channel < len(slide.exposures_ms) else None
