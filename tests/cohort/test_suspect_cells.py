"""Cells that a spreadsheet or a keyboard changed are refused, or noted where they may be meant."""

import pytest

from nephroscale.cohort.reading import Table, read_table
from nephroscale.cohort.suspect_cells import check_cells_for_accidents
from nephroscale.cohort.validation_errors import ValidationErrors

DATE = "looks like a date that a spreadsheet made of an id"


def found_in(column, cells):
    """Errors and notes about cells of one column."""
    errors = ValidationErrors()
    rows = [(number, {column: cell}) for number, cell in enumerate(cells, start=2)]
    check_cells_for_accidents(Table("T", (column,), rows), ("patient_id",), errors)
    return [str(error) for error in errors.found], [str(note) for note in errors.notes]


@pytest.mark.parametrize(
    "cell", ["3-Mar", "03-Mar", "Mar-24", "3-Mar-24", "2024-03-04", "2024-03-04 00:00:00", "3. Mrz", "04/03/2024"]
)
def test_an_id_that_became_a_date_is_refused(cell):
    errors, _ = found_in("patient_id", ["3-40", cell, "3-41"])
    assert len(errors) == 1
    assert errors[0].startswith(f"T, row 3, column patient_id: {cell!r} {DATE}")


def test_dates_may_be_names_of_biopsies_and_of_all_patients():
    assert found_in("biopsy_id", ["2024-03-04", "B2"]) == ([], [])
    assert found_in("patient_id", ["2024-03-04", "2024-03-05"]) == ([], [])
    assert found_in("patient_id", ["March", "May", "Marx", "Dec", "P-Mar"]) == ([], [])  # no number
    assert found_in("image_id", ["3-4", "12-31-OM", "P1-2024-03-04"]) == ([], [])
    assert found_in("note", ["3-Mar", "x"]) == ([], [])


def test_a_group_that_became_a_power_of_ten_is_refused():
    errors, _ = found_in("group", ["1.2E+11", "F1"])
    assert "looks like a number that a spreadsheet made of an id" in errors[0]


def test_ids_that_differ_by_leading_zeros_are_noted():
    assert found_in("patient_id", ["007", "7"])[1] == [
        "T, column patient_id: '007' and '7' differ by leading zeros alone and are taken as two."
    ]
    assert found_in("image_id", ["P01-T1", "P10-T1", "P100-T1", "P1-T10"]) == ([], [])


def test_letters_that_look_alike_are_refused_in_every_column():
    errors, _ = found_in("site", ["South", "S\u043euth", "Юг"])
    assert len(errors) == 1
    assert errors[0].startswith("T, row 3, column site: 'S\u043euth' has the letter '\u043e' (Cyrillic small letter o)")
    assert found_in("marker", ["β2m", "5 μm", "α-SMA", "C3"]) == ([], [])


def test_names_of_sites_that_differ_by_case_or_spaces_are_noted():
    assert found_in("site", ["South", "south ", "North"])[1] == [
        "T, column site: 'South', 'south ' differ by case or spaces alone and are taken as 2 names."
    ]


def test_numbers_with_commas_among_numbers_are_noted():
    assert found_in("creatinine", ["1.2", "0,9", "88"])[1] == [
        "T, column creatinine: 1 cell has a comma among numbers (row 3 first) and would be text; write decimal points."
    ]
    assert found_in("note", ["1,2", "see 0,9", "x"]) == ([], [])


def read(path, content):
    path.write_bytes(content)
    errors = ValidationErrors()
    table = read_table(str(path), "patients", ["patient_id"], errors)
    return table, [str(error).replace(str(path), "T") for error in errors.found]


def test_no_break_spaces_are_spaces_except_in_paths(tmp_path):
    table, errors = read(tmp_path / "t.csv", "patient_id,site,path\nA,New\u00a0York,a\u00a01.svs\n".encode())
    assert not errors
    assert table.rows == [(2, {"patient_id": "A", "site": "New York", "path": "a\u00a01.svs"})]


@pytest.mark.parametrize(
    ("cells", "codec"),
    [(["Zürich", "Genève"], "cp1252"), (["南方医院", "北京医院"], "gb18030"), (["서울", "부산"], "cp949")],
)
def test_two_encodings_in_one_file_are_refused(tmp_path, cells, codec):
    lines = [b"patient_id,site", b"A," + cells[0].encode(), b"B," + cells[1].encode(codec)]
    _, errors = read(tmp_path / "t.csv", b"\n".join(lines))
    assert errors == ["T, row 3: is not UTF-8 here, but UTF-8 in row 2; save it in one encoding, as CSV UTF-8."]
    table, errors = read(tmp_path / "t.csv", b"\n".join([lines[0], b"A," + cells[0].encode(codec), lines[2]]))
    assert table is not None or "in doubt" in errors[0]
