"""Sheets of xlsx workbooks as text, as the spreadsheet shows it."""

from __future__ import annotations

import datetime as dt
import io
import re
import warnings
import zipfile
from typing import Any

from nephroscale.cohort.validation_errors import ValidationErrors

_MERGED = b"<mergeCell "
_ZEROS = re.compile(r"0{2,}")


def read_workbook(path: str, content: bytes, sheet: str, errors: ValidationErrors) -> list[list[str]] | None:
    """Read one sheet of a workbook.

    Parameters
    ----------
    path
        The file's name, for messages.
    content
        Its bytes.
    sheet
        Name of the sheet, without regard to case; if there is none, the workbook's only sheet that is not empty.
    errors
        Collects the errors: ambiguous sheets, merged cells, formulas without a stored value, Excel's error values.

    Returns
    -------
    list of list of str, or None
        The cells from A1 on, rows in order, none left out; None where the workbook cannot be read.
    """
    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about features without influence on the cells' values
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                merged = any(
                    _MERGED in archive.read(name) for name in archive.namelist() if name.startswith("xl/worksheets/")
                )
            book = openpyxl.load_workbook(io.BytesIO(content), read_only=not merged, data_only=False)
            name = _choose_sheet(path, book, sheet, errors)
            if name is None:
                return None
            if merged and (ranges := [str(each) for each in book[name].merged_cells.ranges]):
                errors.add(
                    path, f"sheet {name!r} has merged cells ({', '.join(sorted(ranges))}); unmerge and fill each."
                )
            cells = _rows(book[name])
            if any(cell.data_type == "f" for row in cells for cell in row):
                # Formulas are rare, so their stored values are read only when there are any.
                values = openpyxl.load_workbook(io.BytesIO(content), read_only=not merged, data_only=True)
                cells = _with_values(path, cells, _rows(values[name]), errors)
    except (zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, OSError) as error:
        errors.add(path, f"is not a readable xlsx workbook ({error}); save it again, or as CSV UTF-8.")
        return None
    return _texts(path, cells, errors)


def _choose_sheet(path: str, book: Any, wanted: str, errors: ValidationErrors) -> str | None:
    names = [sheet.title for sheet in book.worksheets]
    named = [name for name in names if name.strip().casefold() == wanted.casefold()]
    if len(named) == 1:
        return str(named[0])
    filled = [name for name in names if any(cell.value is not None for row in _rows(book[name], 50) for cell in row)]
    if len(filled) > 1:
        errors.add(path, f"has several sheets ({', '.join(filled)}); rename the right one to {wanted!r}.")
        return None
    return str((filled or names)[0])


def _rows(sheet: Any, most: int | None = None) -> list[tuple[Any, ...]]:
    if hasattr(sheet, "reset_dimensions"):
        sheet.reset_dimensions()  # some programs write a wrong extent, which would end the reading early
    return list(sheet.iter_rows(max_row=most))


def _with_values(
    path: str, cells: list[tuple[Any, ...]], values: list[tuple[Any, ...]], errors: ValidationErrors
) -> list[tuple[Any, ...]]:
    for row, valued in zip(cells, values, strict=True):
        for cell, value in zip(row, valued, strict=True):
            if cell.data_type == "f" and value.value is None:
                errors.add(
                    path,
                    f"cell {cell.coordinate} is a formula without a stored value; open and save it in a spreadsheet.",
                    row=cell.row,
                )
    return values


def _texts(path: str, cells: list[tuple[Any, ...]], errors: ValidationErrors) -> list[list[str]]:
    for cell in (cell for row in cells for cell in row if cell.data_type == "e"):
        errors.add(path, f"cell {cell.coordinate} holds the error {cell.value}.", row=cell.row)
    return [[_text(cell) for cell in row] for row in cells]


def _text(cell: Any) -> str:
    """Write a cell's value as text: 1.0 as 1, 0.1 + 0.2 as 0.3, 1 shown as 001 as 001, a date as 2024-05-31."""
    value = cell.value
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        if float(value).is_integer() and abs(value) < 1e15:
            whole = str(int(value))
            shown = cell.number_format or ""
            return whole.zfill(len(shown)) if _ZEROS.fullmatch(shown) else whole
        return format(value, ".15g")  # as many digits as Excel keeps
    if isinstance(value, dt.datetime):
        return value.date().isoformat() if value.time() == dt.time() else value.isoformat(sep=" ")
    return str(value)
