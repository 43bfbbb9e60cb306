import pytest
from hypothesis import given
from hypothesis import strategies as st

from nephroscale.cohort.reading import clean, read_table
from nephroscale.cohort.validation_errors import ValidationErrors

TEXT = "patient_id,诊断,备注\n001,膜性肾病,a\n002,狼疮性肾炎,\n"


def read(path, content, errors=None, required=("patient_id",)):
    path.write_bytes(content)
    errors = errors if errors is not None else ValidationErrors()
    return read_table(str(path), "patients", required, errors), [str(f).replace(str(path), "T") for f in errors.found]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_encoding_separator_and_line_end(tmp_path, encoding, separator, end) -> None:
    content = TEXT.replace(",", separator).replace("\n", end).encode(encoding)
    table, errors = read(tmp_path / "t.csv", content)
    assert not errors
    assert table.columns == ("patient_id", "诊断", "备注")
    assert table.rows == [
        (2, {"patient_id": "001", "诊断": "膜性肾病", "备注": "a"}),
        (3, {"patient_id": "002", "诊断": "狼疮性肾炎", "备注": ""}),
    ]


def test_rows_count_as_a_spreadsheet_counts_them(tmp_path) -> None:
    content = b'patient_id,note\nA,"two\nlines"\n\n,\nB,x'
    table, _ = read(tmp_path / "t.csv", content)
    assert [(row, cells["patient_id"]) for row, cells in table.rows] == [(2, "A"), (5, "B")]


def test_the_separator_is_detected_by_the_expected_columns(tmp_path) -> None:
    table, errors = read(tmp_path / "t.csv", b"patient_id;a,b,c,d\nA;1\n")
    assert not errors
    assert table.columns == ("patient_id", "a,b,c,d")


def test_decimal_commas_are_read_where_semicolons_separate(tmp_path) -> None:
    content = "patient_id;mpp;text;doubtful\nA;0,25;1,5;1,300\nB;1;x;1,5\nC;;2,5;2,5\n"
    table, errors = read(tmp_path / "t.csv", content.encode())
    assert not errors
    assert [list(cells.values()) for _, cells in table.rows] == [
        ["A", "0.25", "1,5", "1,300"],  # a text column and one that may have thousands stay
        ["B", "1", "x", "1,5"],
        ["C", "", "2,5", "2,5"],
    ]
    table, _ = read(tmp_path / "t.csv", b'patient_id,mpp\nA,"0,25"\n')
    assert table.rows[0][1]["mpp"] == "0,25"


def test_excels_separator_line_is_used_and_not_counted(tmp_path) -> None:
    table, errors = read(tmp_path / "t.csv", b"sep=;\r\npatient_id;b\r\nA;1\r\n")
    assert not errors
    assert table.rows == [(2, {"patient_id": "A", "b": "1"})]


def test_cells_are_trimmed_and_composed(tmp_path) -> None:
    table, _ = read(tmp_path / "t.csv", "patient_id , b\n A\u00a0,\u3000cafe\u0301\u200b\n".encode())
    assert table.rows == [(2, {"patient_id": "A", "b": "caf\u00e9"})]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "T, row 1: has no header"),
        (b"patient_id,a,a\nA,1,2\n", "T, row 1, column a: 2 columns have this name"),
        (b"patient_id,a\nA,1,2\n", "T, row 2: has more cells than the header ('2')"),
        (b"patient_id,,a\nA,1,2\n", "T, row 2: '1' is in a column without a name"),
        (b'patient_id,a\nA,1\nB,"2\nC,3\n', "T, row 3: cannot be split into cells"),
        (b"patient_id,a\nA,1\nB,\xff\xff\xff\n", "T, row 3: is not UTF-8, and its encoding is in doubt"),
        ("patient_id,a\n".encode("utf-16"), "T: is UTF-16 text"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "T: is an old .xls workbook"),
        (b"PK\x03\x04 and no workbook", "T: is not a readable xlsx workbook"),
    ],
)
def test_faults_of_files(tmp_path, content, message) -> None:
    _, errors = read(tmp_path / "t.csv", content)
    assert [fault[: len(message)] for fault in errors] == [message]


def test_a_file_that_is_not_there(tmp_path) -> None:
    errors = ValidationErrors()
    assert read_table(str(tmp_path / "none.csv"), "patients", [], errors) is None
    assert "cannot be read" in str(errors.found[0])


def test_empty_columns_at_the_end_are_no_columns(tmp_path) -> None:
    table, errors = read(tmp_path / "t.csv", b"patient_id,a,,\nA,1,,\n")
    assert not errors
    assert table.columns == ("patient_id", "a")


@pytest.mark.slow
@given(st.text())
def test_cleaning_twice_is_cleaning_once(text) -> None:
    assert clean(clean(text)) == clean(text)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_table_or_faults(tmp_path_factory, content) -> None:
    path = tmp_path_factory.mktemp("any") / "t.csv"
    table, errors = read(path, content)
    assert table is not None or errors
