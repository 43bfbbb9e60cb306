"""Errors in the cohort's tables, collected so that all of them are reported together."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field

from nephroscale.errors import NephroscaleError
from nephroscale.text import count_of

SHOWN_PER_COLUMN = 25


@dataclass(frozen=True, slots=True)
class TableError:
    """One error: table, row as a spreadsheet counts (the header is row 1), column, and what is wrong."""

    table: str
    row: int | None
    column: str | None
    what: str

    def __str__(self) -> str:
        where = [
            self.table,
            *([f"row {self.row}"] if self.row else []),
            *([f"column {self.column}"] if self.column else []),
        ]
        return f"{', '.join(where)}: {self.what}"


@dataclass(slots=True)
class ValidationErrors:
    """Errors found so far, and notes: what was assumed, and stops nothing."""

    found: list[TableError] = field(default_factory=list)
    notes: list[TableError] = field(default_factory=list)

    def add(self, table: str, what: str, *, row: int | None = None, column: str | None = None) -> None:
        """Add one error."""
        self.found.append(TableError(table, row, column, what))

    def note(self, table: str, what: str, *, column: str | None = None) -> None:
        """Add one note."""
        self.notes.append(TableError(table, None, column, what))

    def __len__(self) -> int:
        return len(self.found)

    def raise_if_any(self, *, fix: str) -> None:
        """Raise one error that lists all errors found.

        If a column has many errors, the first are listed in full and the others by row, so that a wrong
        ``data.root`` does not hide the rest.

        Raises
        ------
        NephroscaleError
            When there is an error.
        """
        if not self.found:
            return
        tables = list(dict.fromkeys(error.table for error in self.found))
        lines: list[str] = []
        for table in tables:
            shown: dict[str | None, int] = {}
            more: dict[str | None, list[int]] = {}
            for error in sorted((f for f in self.found if f.table == table), key=lambda f: f.row or 0):
                shown[error.column] = shown.get(error.column, 0) + 1
                if shown[error.column] <= SHOWN_PER_COLUMN or error.row is None:
                    lines.append(str(error))
                else:
                    more.setdefault(error.column, []).append(error.row)
            for column, rows in more.items():
                where = f", column {column}" if column else ""
                lines.append(f"{table}{where}: {len(rows)} more errors in this column, in rows {spans(rows)}")
        raise NephroscaleError(
            f"The cohort's tables have {count_of(len(self.found), 'error')}:\n"
            + "\n".join(f"  - {line}" for line in lines),
            where=", ".join(tables),
            fix=fix,
        )


def spans(rows: Iterable[int]) -> str:
    """Write row numbers briefly: ``3, 7 to 9``."""
    runs: list[list[int]] = []
    for row in sorted(set(rows)):
        if runs and row == runs[-1][1] + 1:
            runs[-1][1] = row
        else:
            runs.append([row, row])
    return ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in runs)


def nearest(word: str, known: Iterable[str]) -> str:
    """Suggest the known word closest to a wrong one, as the end of a sentence; empty where none is close."""
    folded = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return f"; did you mean `{folded[close[0]]}`?" if close else ""
