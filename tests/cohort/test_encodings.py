"""Tables of a few rows in the encodings of spreadsheets: read rightly, or the reader is asked; never read wrongly."""

import pytest

from nephroscale.cohort.encodings import guess_encoding
from nephroscale.cohort.reading import read_table
from nephroscale.cohort.validation_errors import ValidationErrors

TABLES = {
    "German": ("cp1252", "A1,membranöse Nephropathie,männlich\nA2,IgA-Nephropathie,weiblich\n"),
    "French": ("cp1252", "A1,néphropathie à IgA,Hôpital Necker\nA2,glomérulonéphrite extra-membraneuse,\n"),
    "Spanish": ("cp1252", "A1,nefropatía membranosa,España\n"),
    "Japanese": ("cp932", "A1,膜性腎症,男性\nA2,ループス腎炎,女性\n"),
    "traditional Chinese": ("cp950", "A1,膜性腎病變,台北榮總\nA2,IgA腎病,高雄長庚\n"),
    "Korean": ("cp949", "A1,막성 신병증,남성\nA2,루푸스 신염,여성\n"),
    "simplified Chinese": ("gb18030", "A1,膜性肾病,北京\nA2,狼疮性肾炎,上海\n"),
}
SHORT = [
    *(("cp1252", text) for text in ("Köln", "Müller", "Größe", "20 µm", "Hôpital", "é")),
    *(("gb18030", text) for text in ("男", "王小明", "二期", "图像/甲 01.tif", "镉铽")),
    *(("cp950", text) for text in ("男", "陳小明", "診斷不明")),
    *(("cp932", text) for text in ("男", "佐藤", "メサンギウム", "IgA腎症")),
    *(("cp949", text) for text in ("남", "서울", "김철수", "뷁")),
]


def read(tmp_path, content, **keys):
    (tmp_path / "t.csv").write_bytes(content)
    errors = ValidationErrors()
    return read_table(str(tmp_path / "t.csv"), "patients", ["patient_id"], errors, **keys), errors


@pytest.mark.parametrize("language", TABLES)
def test_a_table_of_one_or_two_rows_is_read_and_its_encoding_is_noted(tmp_path, language) -> None:
    codec, rows = TABLES[language]
    text = "patient_id,diagnosis,note\n" + rows
    table, errors = read(tmp_path, text.encode(codec))
    twin, silent = read(tmp_path, text.encode())
    assert table == twin
    assert len(errors) == 0
    (note,) = errors.notes
    assert f"was read as {codec}" in str(note)
    assert "data.encoding" in str(note)
    assert not silent.notes


@pytest.mark.parametrize(("codec", "text"), SHORT)
def test_one_short_cell_is_never_taken_for_another_encoding(codec, text) -> None:
    guess = guess_encoding(f"id,note\n1,{text}\n".encode(codec))
    assert guess.codec in {codec, None}
    assert guess.readings[codec] == [text]


@pytest.mark.parametrize(
    ("codec", "text"),
    [("cp1250", "błoniasta, Łódź"), ("cp1251", "мембранозная нефропатия"), ("euc_jp", "膜性腎症"), ("cp874", "โรคไต")],
)
def test_an_encoding_that_is_none_of_the_five_is_in_doubt(codec, text) -> None:
    assert guess_encoding(text.encode(codec)).codec is None


def test_what_is_in_doubt_is_asked_with_the_cells_as_they_would_read(tmp_path) -> None:
    table, errors = read(tmp_path, "patient_id,note\nA1,\nA2,뷁\n".encode("cp949"))
    assert table is None
    (error,) = errors.found
    assert error.row == 3
    assert "data.encoding" in error.what
    for reading in ("cp949 (EUC-KR): '뷁'", "gb18030 (simplified Chinese): "):
        assert reading in error.what


def test_a_text_of_the_configuration_decides(tmp_path) -> None:
    content = "patient_id,label\nA1,뷁\n".encode("cp949")
    table, _ = read(tmp_path, content, known={"뷁", "other"})
    assert table.rows == [(2, {"patient_id": "A1", "label": "뷁"})]


def test_the_named_encoding_is_used_except_under_a_byte_order_mark(tmp_path) -> None:
    text = "patient_id,note\nA1,Köln\n"
    expected = [(2, {"patient_id": "A1", "note": "Köln"})]
    for content in (text.encode("cp1252"), text.encode("utf-8-sig")):
        table, errors = read(tmp_path, content, encoding="cp1252")
        assert table.rows == expected
        assert not errors.found
        assert not errors.notes
    assert read(tmp_path, text.encode("utf-16"), encoding="utf-16")[0].rows == expected


@pytest.mark.parametrize(("encoding", "what"), [("ascii", "is not ascii"), ("klingon", "is no encoding")])
def test_a_wrong_encoding_is_an_error(tmp_path, encoding, what) -> None:
    table, errors = read(tmp_path, "patient_id\nKöln\n".encode("cp1252"), encoding=encoding)
    assert table is None
    assert what in str(errors.found[0])
