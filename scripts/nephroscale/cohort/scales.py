"""Scales of images: given in their row, or looked up by electron microscope and magnification."""

from __future__ import annotations

from dataclasses import replace

from nephroscale.cohort import parse
from nephroscale.cohort.columns import RowErrors, check_cells
from nephroscale.cohort.image import TableScale
from nephroscale.cohort.reading import Table
from nephroscale.cohort.schemas import read_schema
from nephroscale.cohort.validation_errors import ValidationErrors

InstrumentScales = dict[tuple[str, float], float]
"""nm per pixel by instrument (case-folded) and magnification."""

MAX_RELATIVE_DIFFERENCE = 0.05
"""Two scales given for one image may differ by this fraction."""


def read_scales(table: Table, errors: ValidationErrors) -> InstrumentScales:
    """Turn the table of instruments into nm per pixel, collecting every error."""
    bad = check_cells(table, read_schema("instruments"), list(table.columns), errors)
    scales: InstrumentScales = {}
    for row, cells in table.rows:
        magnification = parse.magnification(cells["magnification"])
        if magnification is None:
            if cells["magnification"]:
                errors.add(
                    table.name,
                    f"{cells['magnification']!r} is not a magnification; write 8000 or 11,500x.",
                    row=row,
                    column="magnification",
                )
            continue
        value = parse.number(cells["nm_per_px"])
        if value is None or (row, "nm_per_px") in bad:
            continue
        key = (cells["instrument"].casefold(), magnification)
        if key in scales:
            errors.add(
                table.name,
                f"{cells['instrument']!r} at {magnification:g}x is listed twice; keep one.",
                row=row,
                column="magnification",
            )
        scales[key] = value
    return scales


def scale_of(cells: dict[str, str], scales: InstrumentScales | None, errors: RowErrors) -> TableScale | None:
    """Take the scale from the row, or look it up by instrument and magnification."""
    scale, wins = _scale_of(cells, scales, errors), cells.get("scale_from") == "table"
    if wins and scale is None:
        errors.add("scale_from", "is `table`, but the row gives no scale; fill mpp or nm_per_px.")
    return None if scale is None else replace(scale, wins=wins)


def _scale_of(cells: dict[str, str], scales: InstrumentScales | None, errors: RowErrors) -> TableScale | None:
    if (value := parse.number(cells.get("mpp", ""))) is not None:
        return TableScale(value, "um")
    given = parse.number(cells.get("nm_per_px", ""))
    looked_up = _look_up(cells, scales, errors, needed=given is None)
    if given is not None:
        if looked_up is not None and abs(given - looked_up) > MAX_RELATIVE_DIFFERENCE * looked_up:
            errors.add(
                "nm_per_px", f"{given:g} differs from the {looked_up:g} of the table of instruments; fix one of them."
            )
        return TableScale(given, "nm")
    return None if looked_up is None else TableScale(looked_up, "nm", "instrument")


def _look_up(
    cells: dict[str, str], scales: InstrumentScales | None, errors: RowErrors, *, needed: bool
) -> float | None:
    instrument, text = cells.get("instrument", ""), cells.get("magnification", "")
    if not instrument and not text:
        return None
    magnification = parse.magnification(text) if text else None
    if text and magnification is None:
        errors.add("magnification", f"{text!r} is not a magnification; write 8000 or 11,500x.")
        return None
    if (
        scales is not None
        and magnification is not None
        and (found := scales.get((instrument.casefold(), magnification)))
    ):
        return found
    if needed:
        if not text:
            errors.add("magnification", "is empty; with an instrument it gives the scale.")
        elif not instrument:
            errors.add("instrument", "is empty; a magnification needs its instrument.")
        elif scales is None:
            errors.add("instrument", "is given, but data.instruments names no readable table to look it up in.")
        else:
            errors.add("magnification", f"the table of instruments has no {instrument!r} at {magnification:g}x.")
    return None
