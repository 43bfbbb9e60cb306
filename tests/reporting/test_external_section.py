import pytest

from nephroscale.evaluation.predict import prediction_columns
from nephroscale.evaluation.tables import write_table
from nephroscale.reporting.external_section import summarise_external
from nephroscale.reporting.report_metrics import as_json
from support.ordered_classes import CLASSES, make_probabilities


def row(case, label, predicted, *, second="", warnings=""):
    about = {"patient_id": case, "patient": case, "label": label, "second": second, "predicted": predicted}
    if not predicted:
        return {**about, "members": 0, "warnings": warnings}
    values = make_probabilities([CLASSES.index(predicted)])[0]
    named = {f"{prefix}_{name}": p for prefix in ("p", "raw", "sd") for name, p in zip(CLASSES, values, strict=True)}
    return {**about, **named, "agreement": 1.0, "members": 2, "warnings": warnings}


def test_external_patients_are_scored(tmp_path):
    rows = [
        *(row(f"E{n}", CLASSES[n % 3], CLASSES[n % 3]) for n in range(5)),
        row("E5", "III", "I"),
        row("E6", "I", "II", second="II"),
        row("E7", "I", "", warnings="not predicted: the model requires TEM"),
    ]
    write_table(tmp_path / "predictions.csv", prediction_columns(CLASSES), rows)
    found = as_json(summarise_external(tmp_path, CLASSES, resamples=100, seed=1, ordinal=True))
    assert (found["patients"], found["between"]) == (7, 1)
    assert found["pooled"]["accuracy"]["value"] == pytest.approx(5 / 6, abs=1e-6)
    assert found["ordinal"]["mean_class_error"]["value"] == pytest.approx(2 / 6, abs=1e-6)
    assert found["not_predicted"] == {"E7": "not predicted: the model requires TEM"}
    assert {case["id"]: case["right"] for case in found["cases"]}["E6"]
    assert found["confusion"] == [[2, 0, 0], [0, 2, 0], [1, 0, 1]]
