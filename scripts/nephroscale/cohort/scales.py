"""Scales of images: stated in their row, or looked up by electron microscope and magnification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nephroscale.cohort import parse
from nephroscale.cohort.columns import check_cells
from nephroscale.cohort.schemas import read_schema

if TYPE_CHECKING:
    from nephroscale.cohort.columns import Notes
    from nephroscale.cohort.reading import Table
    from nephroscale.cohort.validation_errors import ValidationErrors

Scales = dict[tuple[str, float], float]
"""nm per pixel by instrument (case-folded) and magnification."""

TWICE = 0.05
"""A scale given in two ways may differ by this share."""


def read_scales(table: Table, faults: ValidationErrors) -> Scales:
    """Turn the rows of the table of instruments into nm per pixel, noting every fault."""
    bad = check_cells(table, read_schema("instruments"), list(table.columns), faults)
    scales: Scales = {}
    for row, cells in table.rows:
        magnification = parse.magnification(cells["magnification"])
        if magnification is None:
            if cells["magnification"]:
                what = f"{cells['magnification']!r} is no magnification; write 8000 or 11,500x."
                faults.add(table.name, what, row=row, column="magnification")
            continue
        value = parse.number(cells["nm_per_px"])
        if value is None or (row, "nm_per_px") in bad:
            continue
        key = (cells["instrument"].casefold(), magnification)
        if key in scales:
            what = f"{cells['instrument']!r} at {magnification:g}x is there already; keep one."
            faults.add(table.name, what, row=row, column="magnification")
        scales[key] = value
    return scales


def scale_of(cells: dict[str, str], scales: Scales | None, note: Notes) -> dict[str, Any] | None:
    """Take the scale from the row, or look it up by instrument and magnification."""
    if (value := parse.number(cells.get("mpp", ""))) is not None:
        return {"value": value, "unit": "um", "source": "table"}
    stated = parse.number(cells.get("nm_per_px", ""))
    looked_up = _look_up(cells, scales, note, needed=stated is None)
    if stated is not None:
        if looked_up is not None and abs(stated - looked_up) > TWICE * looked_up:
            note(
                "nm_per_px",
                f"{stated:g} differs from the {looked_up:g} of the table of instruments; mend one or the other.",
            )
        return {"value": stated, "unit": "nm", "source": "table"}
    return None if looked_up is None else {"value": looked_up, "unit": "nm", "source": "instrument"}


def _look_up(cells: dict[str, str], scales: Scales | None, note: Notes, needed: bool) -> float | None:
    instrument, text = cells.get("instrument", ""), cells.get("magnification", "")
    if not instrument and not text:
        return None
    magnification = parse.magnification(text) if text else None
    if text and magnification is None:
        note("magnification", f"{text!r} is no magnification; write 8000 or 11,500x.")
        return None
    if (
        scales is not None
        and magnification is not None
        and (found := scales.get((instrument.casefold(), magnification)))
    ):
        return found
    if needed:
        if not text:
            note("magnification", "is empty; with an instrument it gives the scale.")
        elif not instrument:
            note("instrument", "is empty; a magnification means nothing without the instrument.")
        elif scales is None:
            note("instrument", "is given, but data.instruments names no readable table to look it up in.")
        else:
            note("magnification", f"the table of instruments has no {instrument!r} at {magnification:g}x.")
    return None
