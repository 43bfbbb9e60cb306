import pytest

from nephroscale.evaluation.evidence import InstanceEvidence
from nephroscale.evaluation.predict import prediction_columns
from nephroscale.evaluation.tables import probability_cells, write_rows, write_table
from nephroscale.reporting.external_section import read_tem_weights, summarise_external
from nephroscale.reporting.metric_values import as_json
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
    members = [  # the second one is wrong of E0, too
        {"patient_id": each["patient_id"], "fold": "0", "seed": seed}
        | probability_cells("p", make_probabilities([CLASSES.index(wrong or each["predicted"])])[0], CLASSES)
        for each in rows
        for seed in (1, 2)
        if each["predicted"]
        for wrong in ["III" if (seed, each["patient_id"]) == (2, "E0") else ""]
    ]
    write_table(tmp_path / "members.csv", list(members[0]), members)
    found = as_json(summarise_external(tmp_path, CLASSES, ordinal=True))
    assert (found["patients"], found["between"]) == (7, 1)
    assert found["pooled"]["accuracy"]["value"] == pytest.approx(5 / 6, abs=1e-6)
    assert found["members"] == 2
    assert found["single"]["accuracy"]["value"] == pytest.approx((5 / 6 + 4 / 6) / 2, abs=1e-6)
    assert found["ordinal"]["mean_class_error"]["value"] == pytest.approx(2 / 6, abs=1e-6)
    assert found["not_predicted"] == {"E7": "not predicted: the model requires TEM"}
    assert {case["id"]: case["right"] for case in found["cases"]}["E6"]
    assert found["confusion"] == [[2, 0, 0], [0, 2, 0], [1, 0, 1]]


def test_weights_of_tem_images_are_those_that_the_ensemble_wrote(tmp_path):
    rows = [
        InstanceEvidence("E1", "OM", "E1-OM", 0, 0, "image", 4, 4, 1.0, 0.0),
        InstanceEvidence("E1", "TEM", "E1-T1", 0, 0, "image", 4, 1, 0.25, 0.1),
        InstanceEvidence("E1", "TEM", "E1-T2", 1, 0, "image", 3, 0, 0.0, 0.0),
        InstanceEvidence("E2", "IM", "", None, 2, "negative", 4, 4, 0.5, 0.0),
    ]
    write_rows(tmp_path / "instances.csv", InstanceEvidence, rows)
    found = read_tem_weights(tmp_path)
    assert [(row.image_id, row.index, row.kept, row.weight) for row in found["E1"]] == [
        ("E1-T1", 0, True, 0.25),
        ("E1-T2", 1, False, 0.0),
    ]
    assert "E2" not in found
