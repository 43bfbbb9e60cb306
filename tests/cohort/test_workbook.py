import datetime as dt
import io

import openpyxl
import pytest

from nephroscale.cohort.reading import read_table
from nephroscale.cohort.validation_errors import ValidationErrors


def workbook(**sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    return book


def read(path, book, sheet="patients"):
    book.save(path)
    errors = ValidationErrors()
    table = read_table(str(path), sheet, ["patient_id"], errors)
    return table, [str(fault).replace(str(path), "T") for fault in errors.found]


def test_cells_are_the_text_that_a_spreadsheet_shows(tmp_path) -> None:
    book = workbook(
        s=[
            ["patient_id", "b", "c", "d", "e", "f", "g"],
            ["001", 1.0, 0.1 + 0.2, 12, True, dt.datetime(2024, 5, 31), None],  # noqa: DTZ001
            [7, " x ", 11500, 0.25, "膜性肾病", dt.datetime(2024, 5, 31, 12, 30), "-"],  # noqa: DTZ001
        ]
    )
    book["s"]["A3"].number_format = "000"
    table, errors = read(tmp_path / "t.xlsx", book)
    assert not errors
    assert [list(cells.values()) for _, cells in table.rows] == [
        ["001", "1", "0.3", "12", "TRUE", "2024-05-31", ""],
        ["007", "x", "11500", "0.25", "膜性肾病", "2024-05-31 12:30:00", "-"],
    ]


def test_empty_rows_are_counted(tmp_path) -> None:
    book = workbook(s=[["patient_id"], ["A"]])
    book["s"]["A5"] = "B"
    table, _ = read(tmp_path / "t.xlsx", book)
    assert [row for row, _ in table.rows] == [2, 5]


def test_a_workbook_is_one_whatever_its_name(tmp_path) -> None:
    table, errors = read(tmp_path / "t.csv", workbook(s=[["patient_id"], ["A"]]))
    assert not errors
    assert table.rows == [(2, {"patient_id": "A"})]


def test_the_sheet_is_the_one_named_like_the_table(tmp_path) -> None:
    book = workbook(Images=[["image_id"], ["I"]], Patients=[["patient_id"], ["A"]])
    assert read(tmp_path / "t.xlsx", book)[0].columns == ("patient_id",)
    assert read(tmp_path / "t.xlsx", book, "images")[0].columns == ("image_id",)


def test_or_the_only_one_that_is_not_empty(tmp_path) -> None:
    assert read(tmp_path / "t.xlsx", workbook(S1=[], S2=[["patient_id"], ["A"]]))[0].columns == ("patient_id",)


def test_several_sheets_are_an_error(tmp_path) -> None:
    table, errors = read(tmp_path / "t.xlsx", workbook(S1=[["x"]], S2=[["patient_id"], ["A"]]))
    assert table is None
    assert errors == ["T: has several sheets (S1, S2); rename the right one to 'patients'."]


def test_merged_cells_would_be_read_as_empty(tmp_path) -> None:
    book = workbook(s=[["patient_id", "group"], ["A", "F"], ["B", None]])
    book["s"].merge_cells("B2:B3")
    _, errors = read(tmp_path / "t.xlsx", book)
    assert errors == ["T: sheet 's' has merged cells (B2:B3); unmerge and fill each."]


def test_a_formula_without_a_value_would_be_read_as_empty(tmp_path) -> None:
    _, errors = read(tmp_path / "t.xlsx", workbook(s=[["patient_id", "b"], ["A", "=1+1"]]))
    assert errors == ["T, row 2: cell B2 is a formula without a stored value; open and save it in a spreadsheet."]


def test_a_formula_gives_its_stored_value(tmp_path) -> None:
    import zipfile

    book = workbook(s=[["patient_id", "b"], ["A", "=1+1"]])
    plain, stored = io.BytesIO(), io.BytesIO()
    book.save(plain)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(stored, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"<v></v>", b"<v>2</v>").replace(b"<v />", b"<v>2</v>"))
    path = tmp_path / "t.xlsx"
    path.write_bytes(stored.getvalue())
    errors = ValidationErrors()
    table = read_table(str(path), "patients", ["patient_id"], errors)
    assert not errors.found
    assert table.rows == [(2, {"patient_id": "A", "b": "2"})]


def test_error_values_of_excel_are_reported(tmp_path) -> None:
    _, errors = read(tmp_path / "t.xlsx", workbook(s=[["patient_id", "b"], ["A", "#N/A"]]))
    assert errors == ["T, row 2: cell B2 holds the error #N/A."]


@pytest.mark.parametrize("size", [40, 400])
def test_a_torn_workbook(tmp_path, size) -> None:
    whole = io.BytesIO()
    workbook(s=[["patient_id"], ["A"]]).save(whole)
    path = tmp_path / "t.xlsx"
    path.write_bytes(whole.getvalue()[:size])
    errors = ValidationErrors()
    assert read_table(str(path), "patients", [], errors) is None
    assert "is not a readable xlsx workbook" in str(errors.found[0])
