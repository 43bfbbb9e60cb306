import pytest

from nephroscale.cohort.fold_table import FoldSides, FoldTable
from nephroscale.reporting.report_inputs import ListedCase, ListedImage, ReportInputs, UnitOutcome
from nephroscale.reporting.table_one import make_table_one

FOLDS = FoldTable(
    ("IgAN", "MN"),
    {f"P{i}": i % 2 for i in range(6)},
    (
        FoldSides("0", ("P3", "P4", "P5"), (), ("P0", "P1", "P2")),
        FoldSides("1", ("P0", "P1", "P2"), (), ("P3", "P4", "P5"), site="north"),
    ),
)


@pytest.fixture
def rows(tmp_path):
    cases = {f"P{i}": ListedCase("diagnosis", columns={"sex": "fm"[i > 3], "age": str(20 + i)}) for i in range(5)}
    images = {f"I{i}": ListedImage("P0", "TEM") for i in range(3)} | {"J": ListedImage("P3", "TEM")}
    stages = {
        "features": [
            *(
                UnitOutcome("P1-TEM", "rejected", "blank", bag=("P1", "TEM")),
                UnitOutcome("P0-TEM", "accepted", bag=("P0", "TEM")),
            )
        ]
    }
    inputs = ReportInputs(classes=FOLDS.classes, folds=tmp_path, models={}, stages=stages, cases=cases, images=images)
    table = make_table_one(inputs, FOLDS)
    assert table.columns == ["all", "IgAN", "MN", "fold 0", "fold north"]
    return {(row.name, row.level): row.cells for row in table.rows}


def test_cases_are_counted_by_class_and_fold(rows):
    assert rows["cases", ""] == ["6", "3", "3", "3", "3"]
    assert rows["sex", "f"] == ["4 (67%)", "2 (67%)", "2 (67%)", "3 (100%)", "1 (33%)"]
    assert rows["sex", "not stated"] == ["1 (17%)", "0 (0%)", "1 (33%)", "0 (0%)", "1 (33%)"]


def test_numbers_have_median_and_range(rows):
    assert rows["age", "median (range)"] == ["22 (20–24)", "22 (20–24)", "22 (21–23)", "21 (20–22)", "23.5 (23–24)"]
    assert rows["age", "not stated"][0] == "1 (17%)"
    assert rows["TEM images", "median (range)"][0] == "0 (0–3)"
    assert ("OM images", "median (range)") not in rows


def test_missing_modalities_are_counted(rows):
    assert rows["without TEM", ""] == ["1", "0", "1", "1", "0"]
