import datetime as dt
import math

import pytest

from nephroscale.reporting.facts_of_cases import collect_acquisition, collect_readings, describe_unread_dates
from nephroscale.reporting.report_inputs import ListedCase, ListedImage, ReportInputs, UnitOutcome
from nephroscale.slides.facts import ImageFacts, Scale, write_facts

FACTS = {
    "P1-OM": ImageFacts(vendor="aperio", dtype="uint8", width=200, height=100, scale=Scale(0.5, "um", "file")),
    "P1-A": ImageFacts(vendor="tiff", dtype="uint16", width=10, height=10, scale=Scale(None, "um", "whole")),
    "P1-G": ImageFacts.rejected("not a TIFF file"),
}


@pytest.fixture
def inputs(tmp_path):
    write_facts(tmp_path / "P1.json", FACTS)
    return ReportInputs(
        classes=("A", "B"),
        folds=tmp_path,
        models={},
        stages={
            "features": [
                UnitOutcome("P1-OM", "accepted", figures={"instances": 3}, bag=("P1", "OM")),
                UnitOutcome("P2-OM", "rejected", "none", bag=("P2", "OM")),
            ]
        },
        cases={
            "P1": ListedCase(
                "diagnosis", site="north", scanner="X", dates={"scan_date": "2024-03-01", "date": "03/04/24"}
            ),
            "P2": ListedCase("diagnosis", negatives=("C1q",)),
        },
        images={
            "P1-OM": ListedImage("P1", "OM", "PAS"),
            "P1-A": ListedImage("P1", "IM", "IgA", exposure_ms=100, grade=1),
            "P1-G": ListedImage("P1", "IM", "IgG", exposure_ms=400, grade=2),
            "P1-G2": ListedImage("P1", "IM", "IgG", grade=3),
        },
        registered={"P1": tmp_path / "P1.json"},
    )


def test_acquisition_is_what_tables_and_files_state(inputs):
    found = collect_acquisition(inputs, ["P1", "P2"])
    first, second = found["P1"], found["P2"]
    assert (first["site north"], first["scanner X"], second["site north"]) == (1, 1, 0)
    assert (first["PAS images"], first["IgG images"], second["IgG images"]) == (1, 2, 0)
    assert first["OM size"] == pytest.approx(math.log(20000))
    assert first["OM scale"] == pytest.approx(math.log(0.5))
    assert first["IM exposure"] == pytest.approx(math.log(200))
    assert (first["IM tiff uint16"], second["IM tiff uint16"]) == (1, 0)
    assert (first["IM rejected images"], first["OM rejected images"]) == (1, 0)
    assert (first["OM instances"], first["OM missing"], second["OM missing"]) == (3, 0, 1)
    assert first["scan_date day"] == dt.date(2024, 3, 1).toordinal()
    assert (first["scan_date in 2024"], second["scan_date in 2024"]) == (1, 0)
    assert not [name for name in first if name.startswith("date")]
    assert "IM scale" not in first
    assert "OM size" not in second


def test_cells_that_are_no_dates_are_named(inputs):
    (sentence,) = describe_unread_dates(inputs)
    assert sentence.startswith("Cells of the column date of the table of patients that cannot be read as dates: 1 ")
    assert "'03/04/24' of P1" in sentence


def test_no_fact_of_acquisition_is_a_reading(inputs):
    assert not [name for name in collect_acquisition(inputs, ["P1", "P2"])["P1"] if "grade" in name]


def test_readings_are_the_largest_grade_of_a_marker_and_negative_ones(inputs):
    assert collect_readings(inputs, ["P1", "P2"]) == {"P1": {"IgA grade": 1, "IgG grade": 3}, "P2": {"C1q grade": 0}}
