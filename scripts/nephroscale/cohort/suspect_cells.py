"""Cells that a spreadsheet or a keyboard changed without a word: ids as dates and numbers, letters that look alike."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from nephroscale.cohort.parse import number
from nephroscale.cohort.reading import Table
from nephroscale.cohort.validation_errors import ValidationErrors

IDS = ("patient_id", "image_id", "biopsy_id", "group", "same_as")
"""Columns that name something."""
NAMES = ("site", "scanner")
"""Columns whose spellings count."""
DATED = ("biopsy_id", "group")
"""Of these, columns in which some names may be dates."""

_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mrz|mär|mai|okt|dez"
_MONTH = re.compile(rf"([0-9]{{1,2}}[-./ ]+)?({_MONTHS})[a-z]*\.?([-./ ]+[0-9]{{2,4}})?", re.IGNORECASE)
_DAY = re.compile(r"[12][0-9]{3}-[0-9]{2}-[0-9]{2}( [0-9:.]+)?|[0-9]{1,2}/[0-9]{1,2}/[0-9]{2,4}")
_POWER = re.compile(r"[0-9]+(?:[.,][0-9]+)?E\+[0-9]+", re.IGNORECASE)
_WITH_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
_ANEW = "format the column as text and write the cell anew."


def check_cells_for_accidents(table: Table, known: Iterable[str], errors: ValidationErrors) -> None:
    """Report cells that do not mean what a person wrote, as far as they show it.

    Parameters
    ----------
    table
        Any table of the study.
    known
        Columns whose cells have a check of their own; numbers with a comma are noted in the others alone.
    errors
        Collects the errors, and notes what is only likely.
    """
    checked = set(known)
    for column in table.columns:
        cells = [(row, values[column]) for row, values in table.rows if values[column]]
        for row, cell in cells:
            if letter := _look_alike(cell):
                what = f"{cell!r} has the letter {letter} among Latin ones, which looks the same; write the cell anew."
                errors.add(table.name, what, row=row, column=column)
        if column in IDS:
            _check_ids(table.name, column, cells, errors)
        elif column in NAMES:
            _note_alike(table.name, column, [cell for _, cell in cells], errors)
        elif column not in checked:
            _note_commas(table.name, column, cells, errors)


def _check_ids(table: str, column: str, cells: list[tuple[int, str]], errors: ValidationErrors) -> None:
    days = sum(_DAY.fullmatch(cell) is not None for _, cell in cells)
    for row, cell in cells:
        day = _DAY.fullmatch(cell) and days < len(cells) and column not in DATED
        month = _MONTH.fullmatch(cell) and any(map(str.isdigit, cell))
        if day or month:
            what = f"{cell!r} looks like a date that a spreadsheet made of an id (such as 3-4); {_ANEW}"
            errors.add(table, what, row=row, column=column)
        elif _POWER.fullmatch(cell) and column in DATED:  # elsewhere it is no id
            what = f"{cell!r} looks like a number that a spreadsheet made of an id; {_ANEW}"
            errors.add(table, what, row=row, column=column)
    spellings: dict[str, str] = {}
    for _, cell in cells:
        first = spellings.setdefault(re.sub(r"(?<![0-9])0+(?=[0-9])", "", cell.casefold()), cell)
        if first.casefold() != cell.casefold():
            errors.note(
                table,
                f"{first!r} and {cell!r} differ by leading zeros alone and are taken as two.",
                column=column,
            )
            return


def _note_alike(table: str, column: str, cells: list[str], errors: ValidationErrors) -> None:
    """Note names that differ by case, spaces or the width of letters alone."""
    spellings: dict[str, Counter[str]] = {}
    for cell in cells:
        folded = re.sub(r"\s+", "", unicodedata.normalize("NFKC", cell)).casefold()
        spellings.setdefault(folded, Counter())[cell] += 1
    for found in spellings.values():
        if len(found) > 1:
            written = ", ".join(repr(name) for name in sorted(found))
            what = f"{written} differ by case or spaces alone and are taken as {len(found)} names."
            errors.note(table, what, column=column)


def _note_commas(table: str, column: str, cells: list[tuple[int, str]], errors: ValidationErrors) -> None:
    """Note numbers with a comma in a column of numbers: they are read as text."""
    rows = [row for row, cell in cells if _WITH_COMMA.fullmatch(cell)]
    if rows and sum(number(cell) is not None for _, cell in cells) >= len(rows):
        count = "1 cell has" if len(rows) == 1 else f"{len(rows)} cells have"
        what = f"{count} a comma among numbers (row {rows[0]} first) and would be text; write decimal points."
        errors.note(table, what, column=column)


def _look_alike(cell: str) -> str:
    """The first Cyrillic letter in a word with Latin ones, with its name; empty where there is none."""
    if cell.isascii():
        return ""
    for word in re.findall(r"[^\W\d_]+", cell):
        if {"LATIN", "CYRILLIC"} <= {unicodedata.name(letter, "").split(" ")[0] for letter in word}:
            letter = next(one for one in word if unicodedata.name(one, "").startswith("CYRILLIC"))
            return f"{letter!r} ({unicodedata.name(letter).capitalize()})"
    return ""
