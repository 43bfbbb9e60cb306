import re

import numpy as np
import pytest

from nephroscale.deposits.predictions import Prediction, write_predictions
from nephroscale.evaluation.evidence import InstanceEvidence
from nephroscale.evaluation.predict import prediction_columns
from nephroscale.evaluation.tables import write_removed, write_rows, write_table
from nephroscale.reporting.new_cases import write_new_cases
from nephroscale.reporting.report_inputs import CaseInputs, ListedCase, UnitOutcome
from support.accessibility import find_violations

pytestmark = pytest.mark.slow

CLASSES = ["IgAN", "MN", "LN"]


def row(case, probabilities, warnings=""):
    cells = {f"p_{name}": p for name, p in zip(CLASSES, probabilities, strict=False)}
    predicted = CLASSES[int(np.argmax(probabilities))] if probabilities else ""
    return {
        "patient_id": case,
        "patient": case,
        "predicted": predicted,
        **cells,
        "agreement": 0.75 if predicted else "",
        "members": 4 if predicted else 0,
        "warnings": warnings,
    }


@pytest.fixture
def pages(inputs, tmp_path):
    predictions, deposits = tmp_path / "predict", tmp_path / "deposits"
    predictions.mkdir()
    deposits.mkdir()
    rows = [
        row("P001", [0.1, 0.8, 0.1], "scale outside the range"),
        row("P002", [0.4, 0.3, 0.3]),
        row("P003", [], "not predicted: the model requires OM; TEM image rejected"),
    ]
    write_table(predictions / "predictions.csv", prediction_columns(CLASSES), rows)
    write_removed(predictions / "removed.csv", [("P001", "OM", np.array([0.5, 0.3, 0.2]))], CLASSES)
    weight = InstanceEvidence("P001", "TEM", "P001-T1", 0, 0, "image", 4, 3, 0.625, 0.1)
    write_rows(predictions / "instances.csv", InstanceEvidence, [weight])
    write_predictions(deposits, [Prediction("P001-T1", "P001", None, {"plain": 0.1, "combined": 0.83})])
    batch = CaseInputs(
        classes=CLASSES,
        tem={"P001": inputs.tem["P001"]},
        deposits=[("mesangial", deposits)],
        cases={"P001": ListedCase("new", site="north")},
        stages={"features": [UnitOutcome("P003-OM", "rejected", "the slide cannot be opened", bag=("P003", "OM"))]},
    )
    figures = write_new_cases(batch, predictions, "cmusnet", ("TEM", "OM"), tmp_path / "out", title="A <study>")
    assert figures == {"cases": 3, "not_predicted": 1}
    found = {path.stem: path for path in (tmp_path / "out").rglob("*.html")}
    return {name: path.read_text(encoding="utf-8") for name, path in found.items()}


def text(page):
    return " ".join(re.sub(r"<[^>]+>", " ", page.partition("<body>")[2]).split())


def test_the_table_names_every_case_and_leads_to_its_page(pages):
    shown = text(pages["index"])
    assert re.findall(r'href="([^"]+)"', pages["index"]) == [f"cases/{case}.html" for case in ("P003", "P002", "P001")]
    assert "P001 MN 0.100 0.800 0.100 75&nbsp;% scale outside the range" in shown
    assert "P003 not predicted" in shown
    assert "predicted by 4 networks of cmusnet" in shown
    assert "A &lt;study&gt;" in pages["index"]


def test_a_page_shows_the_prediction_without_a_true_class(pages):
    shown = text(pages["P001"])
    assert "new case 3 of 3, least certain first P001 predicted MN , p = 0.80" in shown
    assert "without OM 0.500 0.300 0.200 IgAN" in shown
    assert "wrong" not in shown
    assert "deposits, mesangial: p = 0.83" in shown
    assert "Warnings of the prediction: scale outside the range." in shown
    assert "errors first" not in shown


def test_a_case_that_was_not_predicted_has_a_page_that_gives_the_reason(pages):
    shown = text(pages["P003"])
    assert "No prediction: the model requires OM; TEM image rejected." in shown
    assert "No features of OM: the slide cannot be opened" in shown
    assert "p(MN)" not in shown


def test_the_pages_are_accessible(pages, tmp_path):
    for page in ("index.html", "cases/P001.html", "cases/P003.html"):
        assert find_violations(tmp_path / "out" / page, tmp_path, width=400) == []
