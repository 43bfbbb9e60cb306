"""The facts of a raw image: what it is, how large, at which scale, and whether it can be read at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nephroscale.errors import Rejected
from nephroscale.slides.readers.base import SlideReader, UnreadableRegion, UnreadableSlide
from nephroscale.slides.readers.registry import choose_reader, open_slide

if TYPE_CHECKING:
    from pathlib import Path

# µm per pixel that a microscope can have meant: coarser than 10 is less than a 1x objective gives.
BELIEVABLE_UM = (0.05, 10.0)
# A tag that any program fills in is believed where no printer or desktop scanner works (2.5 µm are 10160 dpi).
BELIEVABLE_GENERIC_UM = (0.05, 2.5)
BELIEVABLE_NM = (0.05, 500.0)
CONFLICT = 0.10
PROBE_PX = 256
LEAST_PX = 16


def describe(path: Path, modality: str, row: dict[str, Any]) -> dict[str, Any]:
    """Find out the facts of one raw image, by reading parts of it.

    Parameters
    ----------
    path
        The file that the format opens by (a link, see :func:`nephroscale.slides.raw.link_raw`).
    modality
        `OM`, `IM` or `TEM`.
    row
        The image's row (`scale`, `roi`).

    Returns
    -------
    dict
        `status` (`accepted`), `reader`, `vendor`, `width`, `height`, `levels`, `channels`, `dtype`, `background`
        (`bright` or `dark`), `scale`; where they apply `scale_conflict` (`file` and `table`, which differ by more than
        10 %; the file's is used), `scale_not_believed` (what the file states) and `unreadable_probes` (share of the
        probed regions that could not be read).

    Raises
    ------
    Rejected
        When the image cannot be read, or has no scale.
    """
    reader = choose_reader(path)
    with open_slide(path, reader) as slide:
        if min(slide.width, slide.height) < LEAST_PX:
            raise Rejected(f"the image is only {slide.width} x {slide.height} pixels large")
        probes, failed = _probe(slide)
        facts: dict[str, Any] = {
            "status": "accepted",
            "reader": reader,
            "vendor": slide.vendor,
            "width": slide.width,
            "height": slide.height,
            "levels": len(slide.sizes),
            "channels": slide.channels,
            "dtype": slide.dtype.name,
            "background": _background(slide, probes),
        }
        if failed:
            facts["unreadable_probes"] = round(failed, 3)
        facts.update(_scale(slide, modality, row))
    expected = {"OM": "bright", "IM": "dark"}.get(modality)
    if expected and facts["background"] != expected:
        raise Rejected(
            f"its background is {facts['background']}, which no {modality} image has: is the modality right?"
        )
    if modality == "OM" and not (slide.rgb and slide.dtype == np.uint8):
        raise Rejected("it is no 8-bit colour image, as OM needs")
    return facts


def _probe(slide: SlideReader) -> tuple[list[np.ndarray], float]:
    """Read nine regions of level 0 and, where it is small, the coarsest level; what came, and the share that failed."""
    across, along = (
        sorted({0, max(0, (n - PROBE_PX) // 2), max(0, n - PROBE_PX)}) for n in (slide.width, slide.height)
    )
    regions = [(0, x, y, PROBE_PX) for y in along for x in across]
    last = len(slide.sizes) - 1
    if last and max(slide.sizes[last]) <= 8 * PROBE_PX:
        regions.append((last, 0, 0, max(slide.sizes[last])))
    probes, reasons = [], []
    for level, x, y, side in regions:
        width, height = min(side, slide.sizes[level][0] - x), min(side, slide.sizes[level][1] - y)
        try:
            pixels, valid = slide.read_level(level, x, y, width, height)
            probes.append(pixels[valid])
        except UnreadableRegion as fault:
            reasons.append(str(fault))
        except UnreadableSlide as fault:
            raise Rejected(f"opens, but cannot be read: {fault}") from fault
    if not probes:
        raise Rejected(f"opens, but no region of it can be read: {reasons[0]}")
    return probes, len(reasons) / len(regions)


def _background(slide: SlideReader, probes: list[np.ndarray]) -> str:
    """Bright or dark."""
    if slide.dtype != np.uint8:
        return "dark"  # cameras of more bits serve fluorescence, which never fills their range
    pixels = np.concatenate(probes)
    if not len(pixels):
        return "bright"
    if slide.rgb:  # the mean of the channels: one pseudo-colour, however bright, stays below a third
        return "bright" if np.percentile(pixels.mean(-1), 75) >= 100 else "dark"
    # In grey a strong signal may fill much of a field, but not three quarters of it.
    return "bright" if np.percentile(pixels.max(-1), 25) >= 128 else "dark"


def _scale(slide: SlideReader, modality: str, row: dict[str, Any]) -> dict[str, Any]:
    """Settle which scale holds, and what was wrong with others."""
    given, whole = row.get("scale"), row.get("roi") == "whole"
    if modality == "TEM":
        if not given:
            raise Rejected("it has no scale: the table gives neither nm per pixel nor instrument and magnification")
        value = float(given["value"]) * (1000.0 if given["unit"] == "um" else 1.0)
        if not BELIEVABLE_NM[0] <= value <= BELIEVABLE_NM[1]:
            raise Rejected(f"its scale of {value:g} nm per pixel is not that of an electron micrograph")
        return {"scale": {"value": value, "unit": "nm", "source": given["source"]}}
    extra: dict[str, Any] = {}
    stated = slide.mpp
    low, high = BELIEVABLE_GENERIC_UM if slide.mpp_is_generic else BELIEVABLE_UM
    if stated is not None and not low <= stated <= high:
        extra["scale_not_believed"] = round(stated, 6)
        stated = None
    table = float(given["value"]) / (1000.0 if given["unit"] == "nm" else 1.0) if given else None
    if stated is not None:
        if table is not None and abs(table / stated - 1) > CONFLICT:
            extra["scale_conflict"] = {"file": round(stated, 6), "table": round(table, 6)}
        return {"scale": {"value": round(stated, 6), "unit": "um", "source": "file"}, **extra}
    if given and table is not None:
        if not BELIEVABLE_UM[0] <= table <= BELIEVABLE_UM[1]:
            raise Rejected(f"its scale of {table:g} µm per pixel is not that of a light micrograph")
        return {"scale": {"value": round(table, 6), "unit": "um", "source": given["source"]}, **extra}
    if whole:
        return {"scale": {"value": None, "unit": "um", "source": "whole"}, **extra}
    was = f" (the file states {extra['scale_not_believed']:g} µm per pixel, which is not believed)" if extra else ""
    raise Rejected(f"it has no scale: neither the file nor the table gives µm per pixel{was}")
