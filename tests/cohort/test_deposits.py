"""Readings of deposits, as laboratories write them into a table."""

import pytest

from nephroscale.cohort.deposits import ANY, Deposits, parse_deposits


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("0", Deposits(False)),
        ("none", Deposits(False)),
        ("No", Deposits(False)),
        ("1", Deposits(True)),
        ("mesangial", Deposits(True, ("mesangial",))),
        ("Subepithelial; mesangial", Deposits(True, ("mesangial", "subepithelial"))),
        ("subendothelial+intramembranous", Deposits(True, ("intramembranous", "subendothelial"))),
        ("mesangial,", Deposits(True, ("mesangial",))),
        ("1.0", Deposits(True)),
        ("0.0", Deposits(False)),
        ("TRUE", Deposits(True)),
        ("Negative", Deposits(False)),
        ("Mesangial and sub-epithelial", Deposits(True, ("mesangial", "subepithelial"))),
        ("mesangial | intra-membranous", Deposits(True, ("mesangial", "intramembranous"))),
        ("mesangial；sub endothelial", Deposits(True, ("mesangial", "subendothelial"))),
    ],
)
def test_a_reading_is_none_some_or_its_sites(text, reading):
    assert parse_deposits(text) == reading
    assert parse_deposits(reading.to_text()) == reading


@pytest.mark.parametrize(
    "text",
    [
        *("2", "yes no", "0;mesangial", "none;mesangial", "true;false", "0;1", "nan", "?"),
        *("hump", "paramesangial", "truth/P1.geojson", ";", " "),
    ],
)
def test_any_other_text_is_no_reading(text):
    assert parse_deposits(text) is None


def test_a_site_is_not_known_where_the_reader_gave_none():
    assert Deposits(True).at(ANY) is True
    assert Deposits(True).at("mesangial") is None
    assert Deposits(False).at("mesangial") is False
    assert Deposits(True, ("mesangial",)).at("subepithelial") is False
