"""Tables as rows of text, from CSV in its common variants and from xlsx."""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from nephroscale.cohort.encodings import guess_encoding
from nephroscale.cohort.validation_errors import ValidationErrors, spans

SEPARATORS = (",", ";", "\t")
#: Columns of paths, in which every character counts; elsewhere all kinds of spaces are one.
PATHS = ("path", "annotation", "deposit_outlines")
_SPACES = str.maketrans(dict.fromkeys("\u00a0\u2007\u2009\u202f", " "))
_INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060"
#: A number of a table with decimal commas. `1,300` is none, since it may also mean thousands.
_DECIMAL = re.compile(r"[+-]?([0-9]+|0,[0-9]+|[0-9]+,([0-9]{1,2}|[0-9]{4,}))")
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text.

    Parameters
    ----------
    name
        The file, as the configuration names it.
    columns
        Names of the columns, trimmed and composed (NFC).
    rows
        For every row that is not empty its number, as a spreadsheet counts (the header is row 1), and its cells by
        column; an empty cell is the empty text.
    """

    name: str
    columns: tuple[str, ...]
    rows: list[tuple[int, dict[str, str]]]


def read_table(
    path: str,
    sheet: str,
    required: Sequence[str],
    errors: ValidationErrors,
    *,
    encoding: str | None = None,
    known: Collection[str] = (),
) -> Table | None:
    """Read a table, collecting errors of the file itself.

    Parameters
    ----------
    path
        A CSV file (comma, semicolon or tab; any line ends; with semicolons also decimal commas) or an xlsx workbook.
        The first bytes decide which it is, not the name.
    sheet
        Sheet to read from a workbook; if it has no sheet of this name, its only one.
    required
        Columns the table should have; they decide the separator.
    errors
        Collects the errors, and notes what encoding was assumed.
    encoding
        Encoding of a CSV file without byte-order mark; None for UTF-8, or else the likeliest one
        (:func:`nephroscale.cohort.encodings.guess_encoding`).
    known
        Texts that cells may have, which help to find the encoding.

    Returns
    -------
    Table or None
        None where the file cannot be read as a table at all.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        place = "" if Path(path).is_absolute() else f" in the folder {Path.cwd()}"
        errors.add(path, f"cannot be read{place} ({error.strerror or error}).")
        return None
    if content.startswith(_OLE):
        errors.add(path, "is an old .xls workbook or one with a password; save it as .xlsx or as CSV UTF-8.")
        return None
    if content.startswith(_ZIP):
        from nephroscale.cohort.workbook import read_workbook

        records = read_workbook(path, content, sheet, errors)
    else:
        text = _decode(path, content, errors, encoding, known)
        records = None if text is None else _read_csv(path, text, required, errors)
    return None if records is None else _as_table(path, records, errors)


def clean(text: str) -> str:
    """Trim a cell, of invisible characters too, and compose it (NFC)."""
    return text.strip() if text.isascii() else unicodedata.normalize("NFC", text.strip().strip(_INVISIBLE).strip())


def _plain(cell: str, column: str) -> str:
    return cell if cell.isascii() or column in PATHS else cell.translate(_SPACES)


def _read_csv(path: str, text: str, required: Sequence[str], errors: ValidationErrors) -> list[list[str]] | None:
    first, _, rest = text.partition("\n")
    if re.fullmatch(r"sep=.\r?", first.lstrip(_INVISIBLE)):  # a line that Excel writes, obeys and hides
        text = rest
    records: list[list[str]] = []
    separator = _separator(text, required)
    try:
        for record in csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True):
            records.append(record)  # noqa: PERF402  (the rows read before an error give its row)
    except csv.Error as error:
        errors.add(
            path,
            f"cannot be split into cells ({error}); look for an unpaired quotation mark.",
            row=len(records) + 1,
        )
        return None
    return _with_decimal_points(records) if separator == ";" else records


def _with_decimal_points(records: list[list[str]]) -> list[list[str]]:
    """Replace decimal commas in columns of numbers; spreadsheets that write them separate cells by semicolons."""
    for place in range(len(records[0]) if records else 0):
        rows = [row for row in records[1:] if len(row) > place and row[place].strip()]
        if all(_DECIMAL.fullmatch(row[place].strip()) for row in rows):
            for row in rows:
                row[place] = row[place].replace(",", ".")
    return records


def _decode(
    path: str, content: bytes, errors: ValidationErrors, encoding: str | None, known: Collection[str]
) -> str | None:
    if encoding is not None and not content.startswith(codecs.BOM_UTF8):
        return _decode_as_named(path, content, errors, encoding)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        errors.add(path, "is UTF-16 text; save it as CSV UTF-8.")
        return None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
    guess = guess_encoding(content, known)
    if mixed := _rows_in_utf8(content, guess.codec):
        rows = f"row{'s' if len(mixed) > 1 else ''} {spans(mixed)}"
        what = f"is not UTF-8 here, but UTF-8 in {rows}; save it in one encoding, as CSV UTF-8."
        errors.add(path, what, row=row)
        return None
    if guess.codec is not None:
        errors.note(
            path, f"is not UTF-8 and was read as {guess.show(guess.codec)}. If this is wrong, set data.encoding."
        )
        return content.decode(guess.codec)
    what = "is not UTF-8, and its encoding is in doubt; name it by data.encoding, or save the table as CSV UTF-8."
    errors.add(path, "\n      ".join([what, *map(guess.show, guess.readings)]), row=row)
    return None


def _rows_in_utf8(content: bytes, codec: str | None) -> list[int]:
    """Rows of a table that is not UTF-8 which are UTF-8 beyond ASCII; none where chance could make them so."""
    found = []
    for row, line in enumerate(content.split(b"\n"), start=1):
        if line.isascii():
            continue
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            continue
        # Two bytes of a Chinese or Korean text may be UTF-8 by chance; accented letters in UTF-8 are no text in cp1252.
        if codec in {"cp1252", None} or any(ord(letter) >= 0x800 for letter in text):
            found.append(row)
    return found


def _decode_as_named(path: str, content: bytes, errors: ValidationErrors, encoding: str) -> str | None:
    try:
        text = content.decode(encoding)
    except LookupError:
        errors.add(path, f"cannot be read: data.encoding {encoding!r} is no encoding; write cp1252 or gb18030, say.")
        return None
    except UnicodeDecodeError as error:
        errors.add(
            path,
            f"is not {encoding} (data.encoding) here; correct the key, or leave it out.",
            row=content.count(b"\n", 0, error.start) + 1,
        )
        return None
    return text.removeprefix("\ufeff")


def _separator(text: str, required: Sequence[str]) -> str:
    """Choose the separator under which the header has most of the required columns, then most columns."""

    def merit(separator: str) -> tuple[int, int]:
        reader = csv.reader(io.StringIO(text[:100_000], newline=""), delimiter=separator)
        header = [clean(cell) for cell in next(iter(reader), [])]
        return len(set(header) & set(required)), len(header)

    return max(SEPARATORS, key=merit)


def _as_table(path: str, records: list[list[str]], errors: ValidationErrors) -> Table | None:
    header = [clean(cell) for cell in records[0]] if records else []
    while header and not header[-1]:
        header.pop()
    if not header:
        errors.add(path, "has no header; its first row names the columns.", row=1)
        return None
    for column in dict.fromkeys(header):
        if column and header.count(column) > 1:
            errors.add(path, f"{header.count(column)} columns have this name; keep one.", row=1, column=column)
    rows: list[tuple[int, dict[str, str]]] = []
    width = len(header)
    nameless = [place for place, column in enumerate(header) if not column]
    for number, record in enumerate(records[1:], start=2):
        cells = [clean(cell) for cell in record]
        if not any(cells):
            continue
        if len(cells) < width:
            cells += [""] * (width - len(cells))
        elif any(cells[width:]):
            extra = next(cell for cell in cells[width:] if cell)
            errors.add(
                path,
                f"has more cells than the header ({extra!r}); a cell with the separator in it needs quotes.",
                row=number,
            )
        for place in nameless:
            if cells[place]:
                errors.add(path, f"{cells[place]!r} is in a column without a name.", row=number)
        named = dict(zip(header, cells, strict=False))
        rows.append((number, {name: _plain(cell, name) for name, cell in named.items()}))
    return Table(path, tuple(dict.fromkeys(column for column in header if column)), rows)
