"""Checks of a table's columns and cells against its schema."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from nephroscale.cohort.parse import number
from nephroscale.cohort.reading import Table
from nephroscale.cohort.validation_errors import ValidationErrors, nearest
from nephroscale.settings import Schema

SYNONYMS = {"LM": "OM", "BF": "OM", "IF": "IM", "DIF": "IM", "EM": "TEM"}
"""Other names of the modalities."""

BadCells = set[tuple[int, str]]
"""Cells with an error, by row number and column; later checks skip them."""


class RowErrors:
    """Collects the errors of one row, except in cells that have an error already."""

    __slots__ = ("bad", "errors", "row", "table")

    def __init__(self, table: str, row: int, bad: BadCells, errors: ValidationErrors) -> None:
        self.table, self.row, self.bad, self.errors = table, row, bad, errors

    def add(self, column: str, what: str) -> None:
        """Add an error in the row's cell of a column."""
        if (self.row, column) not in self.bad:
            self.errors.add(self.table, what, row=self.row, column=column)


def check_columns(table: Table, schema: Schema, errors: ValidationErrors) -> bool:
    """Report missing and unknown columns; return whether every required column is present."""
    known, required = schema["properties"], schema["required"]
    complete = True
    unknown = [column for column in table.columns if column not in known]
    folded = {fold_column(column): column for column in known}
    misspelt = {folded.get(fold_column(column)) for column in unknown}  # a line of their own names these
    told = ""
    for column in required:
        if column not in table.columns:
            complete = False
            if column not in misspelt:
                similar = nearest(column, unknown).replace("did you mean", "is it")
                errors.add(table.name, f"the column is missing{similar or '.'}", row=1, column=column)
                told += similar
    for column in unknown:
        if fold_column(column) in folded:
            errors.add(table.name, f"has to be written `{folded[fold_column(column)]}`.", row=1, column=column)
        elif schema["additionalProperties"] is False and f"`{column}`" not in told:
            hint = nearest(column, known) or f"; remove or rename it. The known columns are {', '.join(known)}."
            errors.add(table.name, f"unknown column{hint}", row=1, column=column)
    return complete


def check_cells(table: Table, schema: Schema, filled: Sequence[str], errors: ValidationErrors) -> BadCells:
    """Report cells that do not fit their column.

    Parameters
    ----------
    table, schema
        The table, and the allowed cells of its columns: ``pattern``, ``enum``, ``type: number`` with its range.
    filled
        Columns in which no cell may be empty.
    errors
        Collects the errors.

    Returns
    -------
    set of (int, str)
        Row number and column of each cell with an error.
    """
    bad: BadCells = set()
    for column in (column for column in table.columns if column in schema["properties"]):
        wrong = _check_of(schema["properties"][column])
        needed = column in filled
        for row, cells in table.rows:
            cell = cells[column]
            what = wrong(cell) if cell else ("is empty, and is required." if needed else None)
            if what:
                errors.add(table.name, what, row=row, column=column)
                bad.add((row, column))
    return bad


def check_unique(table: Table, column: str, errors: ValidationErrors) -> None:
    """Report ids that occur twice, without regard to case, since they become file names."""
    first: dict[str, tuple[int, str]] = {}
    for row, cells in table.rows:
        cell = cells[column]
        if not cell:
            continue
        before, same = first.setdefault(cell.casefold(), (row, cell))
        if before != row:
            alike = "" if same == cell else f" as {same!r}, and ids have to differ by more than case"
            errors.add(table.name, f"{cell!r} is already in row {before}{alike}.", row=row, column=column)


def fold_column(column: str) -> str:
    """Write a column so that capitals, blanks and hyphens make no difference."""
    return re.sub(r"[\s-]+", "_", column.casefold())


def _check_of(schema: Schema) -> Callable[[str], str | None]:
    """Make a function from a cell that is not empty to what is wrong with it (None for a valid cell)."""
    if "enum" in schema:
        allowed = frozenset(schema["enum"])
        return lambda cell: None if cell in allowed else _not_among(cell, schema["enum"])
    if "pattern" in schema:
        fits = re.compile(schema["pattern"]).fullmatch
        return lambda cell: None if fits(cell) else _no_id(cell)
    if schema.get("type") == "number":
        words = frozenset(schema.get("x-words", ()))
        return lambda cell: None if cell in words else _not_in_range(cell, schema)
    return lambda _: None


def _no_id(cell: str) -> str:
    reason = f"{cell!r} is not an id; ids consist of A-Z, a-z, 0-9, _ and -."
    if re.fullmatch(r"[0-9]+(?:[.,][0-9]+)?E\+[0-9]+|[0-9]+[.,]0+", cell, re.IGNORECASE):
        return f"{reason[:-1]}; a spreadsheet took it for a number: format the column as text and write the id anew."
    return reason


def _not_among(cell: str, allowed: Sequence[str]) -> str:
    meant = SYNONYMS.get(cell.upper())
    hint = f"; did you mean `{meant}`?" if meant in allowed else nearest(cell, allowed)
    return f"{cell!r} is not one of {', '.join(allowed)}{hint or '.'}"


def _not_in_range(cell: str, schema: Schema) -> str | None:
    value = number(cell)
    if value is None:
        if re.fullmatch(r"[0-9]+,[0-9]+", cell):
            return f"{cell!r} has a comma; write the decimal point ({cell.replace(',', '.')})."
        return f"{cell!r} is not a number; leave the cell empty where there is none."
    low, above, high = schema.get("minimum"), schema.get("exclusiveMinimum"), schema.get("maximum")
    if (
        (low is not None and value < low)
        or (above is not None and value <= above)
        or (high is not None and value > high)
    ):
        lower = f"{low:g}" if low is not None else f"more than {above:g}"
        unit = f" {schema['x-unit']}" if "x-unit" in schema else ""
        return f"{cell} is out of range ({lower} to {high:g}{unit})."
    return None
