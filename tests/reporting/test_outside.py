"""Sections of stages, of calibration and of external patients."""

import numpy as np
import pytest

from nephroscale.evaluation.calibration_metrics import temper
from nephroscale.evaluation.predict import prediction_columns
from nephroscale.evaluation.tables import Predictions, write_table
from nephroscale.reporting.external_section import describe_external
from nephroscale.reporting.metrics_json import build_metrics
from nephroscale.reporting.results import ModelResults, Run

CLASSES = ["I", "II", "III"]


def chances(predicted, sure=0.8):
    found = np.full((len(predicted), 3), (1 - sure) / 2)
    found[np.arange(len(predicted)), predicted] = sure
    return found


def run(patients, labels, predicted, *, fold="0", second=None, temperature=2.0, heads=()):
    both = None if second is None else np.array(second)
    said = Predictions(patients, np.array(labels), chances(predicted), both)
    calibration = {"temperature": temperature, "at_bound": False}
    return Run(fold, 1, said, [], [], None, calibration, dict.fromkeys(heads, said))


def build(*runs, **more):
    models = {"ours": ModelResults("ours", {}, list(runs))}
    return build_metrics(models, CLASSES, headline=None, resamples=200, seed=1, **more)["models"]["ours"]


PATIENTS = [f"P{n}" for n in range(6)]
LABELS, PREDICTED = [0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 2, 0]


def test_stages_are_described_where_classes_are_ordered_alone():
    given = run(PATIENTS, LABELS, PREDICTED, heads=("softmax", "ordinal"))
    assert build(given)["ordinal"] is None
    found = build(given, ordinal=True)["ordinal"]
    assert found["mean_stage_error"]["value"] == pytest.approx(0.5)
    assert found["one_stage_off"]["value"] == pytest.approx(1 / 6, abs=1e-6)
    assert found["quadratic_kappa"]["low"] <= found["quadratic_kappa"]["value"] <= found["quadratic_kappa"]["high"]
    assert set(found["heads"]) == {"softmax", "ordinal"}
    assert found["heads"]["ordinal"]["quadratic_kappa"] == found["quadratic_kappa"]


def test_patients_between_two_stages_are_counted_and_in_no_figure():
    between = run([*PATIENTS, "X", "Y"], [*LABELS, 0, 0], [*PREDICTED, 1, 2], second=[*LABELS, 1, 1])
    found = build(between, ordinal=True)
    assert found["between"] == {"patients": 2, "predicted_as_one_of_the_two": 1}
    alone = build(run(PATIENTS, LABELS, PREDICTED), ordinal=True)
    for section in ("pooled", "folds", "classes", "ordinal", "confusion", "patients"):
        assert found[section] == alone[section]


def test_each_run_is_tempered_by_its_own_temperature():
    first = run(PATIENTS[:3], LABELS[:3], PREDICTED[:3], fold="0", temperature=2.0)
    second = run(PATIENTS[3:], LABELS[3:], PREDICTED[3:], fold="1", temperature=0.5)
    tempered = ModelResults("ours", {}, [first, second]).tempered
    np.testing.assert_allclose(tempered.probabilities[:3], temper(chances(PREDICTED[:3]), 2.0))
    np.testing.assert_allclose(tempered.probabilities[3:], temper(chances(PREDICTED[3:]), 0.5))
    found = build(first, second)["calibration"]
    assert found["temperatures"] == [0.5, 2.0, 2.0]
    assert found["before"]["brier"] != found["after"]["brier"]
    assert sum(b["patients"] for b in found["after"]["bins"]) == 6


def test_without_temperatures_nothing_is_said_of_calibration():
    given = run(PATIENTS, LABELS, PREDICTED)
    assert build(Run(given.fold, 1, given.predictions, [], [], None))["calibration"] is None


def test_the_bootstrap_draws_patients_and_not_their_biopsies():
    given = run(PATIENTS, LABELS, PREDICTED)
    people = {"P0": "A", "P1": "A", "P4": "B", "P5": "B"}
    one, other = build(given), build(given, people=people)
    assert one["pooled"]["accuracy"]["value"] == other["pooled"]["accuracy"]["value"]
    # Of classes with one patient alone nothing varies: only II is left to draw.
    assert other["pooled"]["accuracy"]["low"] == other["pooled"]["accuracy"]["high"]
    assert one["pooled"]["accuracy"]["low"] < one["pooled"]["accuracy"]["high"]


def row(case, label, predicted, *, second="", warnings=""):
    about = {"patient_id": case, "patient": case, "label": label, "second": second, "predicted": predicted}
    if not predicted:
        return {**about, "members": 0, "warnings": warnings}
    values = chances([CLASSES.index(predicted)])[0]
    named = {f"{prefix}_{name}": p for prefix in ("p", "raw", "sd") for name, p in zip(CLASSES, values, strict=True)}
    return {**about, **named, "agreement": 1.0, "members": 2, "warnings": warnings}


def test_external_patients_are_scored_and_the_others_named(tmp_path):
    rows = [
        *(row(f"E{n}", CLASSES[n % 3], CLASSES[n % 3]) for n in range(5)),
        row("E5", "III", "I"),
        row("E6", "I", "II", second="II"),
        row("E7", "I", "", warnings="not predicted: the model needs TEM"),
    ]
    write_table(tmp_path / "predictions.csv", prediction_columns(CLASSES), rows)
    found = describe_external(tmp_path, CLASSES, resamples=100, seed=1, ordinal=True)
    assert (found["patients"], found["between"]) == (7, 1)
    assert found["pooled"]["accuracy"]["value"] == pytest.approx(5 / 6, abs=1e-6)
    assert found["ordinal"]["mean_stage_error"]["value"] == pytest.approx(2 / 6, abs=1e-6)
    assert found["not_predicted"] == {"E7": "not predicted: the model needs TEM"}
    assert {case["id"]: case["right"] for case in found["cases"]}["E6"]
    assert found["confusion"] == [[2, 0, 0], [0, 2, 0], [1, 0, 1]]
