import numpy as np
import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.comparison import holm
from nephroscale.evaluation.metrics import METRICS
from nephroscale.evaluation.tables import Predictions
from nephroscale.reporting.metrics_json import build_metrics
from nephroscale.reporting.report_metrics import as_json
from nephroscale.reporting.results import ModelResults, Run
from support.ordered_classes import LABELS, PATIENTS, PREDICTED, describe, make_run

CLASSES = ["IgAN", "MN", "LN"]


def run(fold, seed, patients, labels, chances):
    predictions = None if chances is None else Predictions(patients, np.array(labels), np.array(chances, float))
    return Run(fold, seed, predictions)


def sure(predicted, p=0.8):
    chances = np.full((len(predicted), 3), (1 - p) / 2)
    chances[np.arange(len(predicted)), predicted] = p
    return chances


def model(name, runs, modalities=("TEM", "OM", "IM")):
    return ModelResults(name, runs, modalities)


FIRST = ["A1", "B1", "C1"]
SECOND = ["A2", "B2", "C2"]


def build(*models, headline=None):
    metrics = build_metrics({m.name: m for m in models}, CLASSES, headline=headline, resamples=200, seed=1)
    return as_json(metrics)


def test_pooled_and_fold_metrics_of_a_small_example():
    ours = model(
        "ours", [run("0", 1, FIRST, [0, 1, 2], sure([0, 1, 1])), run("1", 1, SECOND, [0, 1, 2], sure([0, 1, 2]))]
    )
    found = build(ours)["models"]["ours"]
    assert found["patients"] == 6
    assert found["pooled"]["balanced_accuracy"]["value"] == pytest.approx(5 / 6, abs=1e-6)
    assert found["folds"]["balanced_accuracy"] == {
        "mean": pytest.approx(5 / 6, abs=1e-6),
        "sd": pytest.approx(np.std([2 / 3, 1], ddof=1), abs=1e-6),
        "values": [pytest.approx(2 / 3, abs=1e-6), 1.0],
    }
    assert found["folds"]["classes"]["LN"]["sensitivity"]["values"] == [0.0, 1.0]
    assert found["confusion"] == [[2, 0, 0], [0, 2, 0], [0, 1, 1]]
    assert found["classes"]["MN"]["specificity"]["value"] == 0.75
    sensitivity = found["classes"]["LN"]["sensitivity"]
    assert sensitivity["value"] == 0.5
    assert (sensitivity["low"], sensitivity["high"]) == pytest.approx((0.0945, 0.9055), abs=1e-4)
    for metric in METRICS:
        assert found["pooled"][metric]["low"] <= found["pooled"][metric]["value"] <= found["pooled"][metric]["high"]


def test_pooled_probabilities_are_averaged_over_seeds():
    ours = model(
        "ours",
        [run("0", 1, FIRST, [0, 1, 2], sure([0, 1, 2], 0.9)), run("0", 2, FIRST, [0, 1, 2], sure([0, 1, 1], 0.6))],
    )
    found = build(ours)["models"]["ours"]
    assert found["seeds"] == [1, 2]
    assert found["patients"] == 3
    assert found["pooled"]["accuracy"]["value"] == 1  # the sure network outweighs the unsure one
    assert found["folds"]["accuracy"]["values"] == [pytest.approx((1 + 2 / 3) / 2, abs=1e-6)]
    assert found["folds"]["accuracy"]["sd"] is None


def test_an_undefined_auc_of_a_fold_has_a_reason():
    ours = model(
        "ours", [run("0", 1, FIRST[:2], [0, 1], sure([0, 1])), run("1", 1, SECOND, [0, 1, 2], sure([0, 1, 2]))]
    )
    folds = build(ours)["models"]["ours"]["folds"]
    assert folds["macro_auc"]["values"] == [None, 1.0]
    assert folds["macro_auc"]["mean"] == 1
    assert "1 of the 3 classes" in folds["undefined"]["macro_auc"]["0"]


def test_models_are_compared_on_the_patients_of_both():
    labels = [0, 1, 2]
    ours = model("ours", [run("0", 1, FIRST, labels, sure([0, 1, 2])), run("1", 1, SECOND, labels, sure([0, 1, 2]))])
    same = model("same", ours.runs)
    worse = model("worse", [run("0", 1, FIRST, labels, sure([0, 1, 1])), run("1", 1, SECOND, labels, sure([1, 1, 1]))])
    fewer = model(
        "fewer", [run("0", 1, FIRST[1:], labels[1:], sure([1, 1])), run("1", 1, SECOND, labels, sure(labels))]
    )
    others = model("others", [run("0", 1, ["X", "Y", "Z"], labels, sure([0, 1, 2]))])
    metrics = build(ours, same, worse, fewer, others)
    found = metrics["comparisons"]
    assert set(found) == {"same", "worse", "fewer"}
    assert metrics["compared_patients"] == {"same": 6, "worse": 6, "fewer": 5, "others": 0}
    assert found["fewer"]["balanced_accuracy"]["value"] == pytest.approx(1 / 6, abs=1e-6)
    assert found["same"]["balanced_accuracy"] == {"value": 0, "low": 0, "high": 0, "p": 1, "p_holm": 1}
    assert found["worse"]["accuracy"]["p"] <= found["worse"]["accuracy"]["p_holm"] <= 1
    assert found["worse"]["balanced_accuracy"]["value"] == pytest.approx(0.5, abs=1e-6)
    assert 0 <= found["worse"]["balanced_accuracy"]["low"] <= 0.5


def test_p_values_are_adjusted_over_the_models_for_each_metric():
    labels, patients = np.repeat([0, 1, 2], 6), [f"P{i:02d}" for i in range(18)]
    wrong = {"ours": [], "baseline-a": [0], "baseline-b": [1, 7], "baseline-c": [2, 3, 8, 9, 14]}
    models = []
    for name, where in wrong.items():
        predicted = labels.copy()
        predicted[where] = (labels[where] + 1) % 3
        models.append(model(name, [run("0", 1, patients, labels, sure(predicted))]))
    found = build(*models)["comparisons"]
    assert set(found) == set(wrong) - {"ours"}
    for metric in METRICS:
        p_values = {name: found[name][metric]["p"] for name in found}
        assert {name: found[name][metric]["p_holm"] for name in found} == pytest.approx(holm(p_values), abs=2e-6)
    p_values = {name: found[name]["accuracy"]["p"] for name in found}
    assert p_values["baseline-c"] < p_values["baseline-b"] < p_values["baseline-a"]
    assert found["baseline-c"]["accuracy"]["p_holm"] == pytest.approx(3 * p_values["baseline-c"], abs=2e-6)
    assert found["baseline-b"]["accuracy"]["p_holm"] == pytest.approx(2 * p_values["baseline-b"], abs=2e-6)


def test_missing_runs_are_listed():
    half = model("half", [run("0", 1, FIRST, [0, 1, 2], sure([0, 1, 2])), run("1", 1, [], [], None)])
    none = model("none", [run("0", 1, [], [], None)])
    found = build(half, none)["models"]
    assert found["half"]["missing"] == ["fold 1, seed 1"]
    assert found["none"]["patients"] == 0
    assert found["none"]["pooled"]["accuracy"] == {"value": None, "low": None, "high": None}
    assert found["none"]["folds"]["accuracy"] == {"mean": None, "sd": None, "values": []}


def test_the_headline_model_is_the_first_or_the_one_named():
    one, two = (model(name, [run("0", 1, FIRST, [0, 1, 2], sure([0, 1, 2]))]) for name in ("one", "two"))
    assert build(one, two)["headline"] == "one"
    assert build(one, two, headline="two")["headline"] == "two"
    with pytest.raises(NephroscaleError, match="headline model"):
        build(one, headline="three")


def test_soft_labels_are_counted_and_excluded_from_the_metrics():
    between = make_run([*PATIENTS, "X", "Y"], [*LABELS, 0, 0], [*PREDICTED, 1, 2], second=[*LABELS, 1, 1])
    found = describe(between, ordinal=True)
    assert found["between"] == {"patients": 2, "predicted_as_one_of_the_two": 1}
    alone = describe(make_run(PATIENTS, LABELS, PREDICTED), ordinal=True)
    for section in ("pooled", "folds", "classes", "ordinal", "confusion", "patients"):
        assert found[section] == alone[section]


def test_the_bootstrap_draws_patients_with_all_biopsies():
    given = make_run(PATIENTS, LABELS, PREDICTED)
    people = {"P0": "A", "P1": "A", "P4": "B", "P5": "B"}
    one, other = describe(given), describe(given, people=people)
    assert one["pooled"]["accuracy"]["value"] == other["pooled"]["accuracy"]["value"]
    # Classes I and III have one patient each, so only class II could vary.
    assert other["pooled"]["accuracy"]["low"] == other["pooled"]["accuracy"]["high"]
    assert one["pooled"]["accuracy"]["low"] < one["pooled"]["accuracy"]["high"]
