import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.comparison import holm
from nephroscale.evaluation.metrics import METRICS
from nephroscale.evaluation.tables import Predictions
from nephroscale.reporting.metrics_json import build_metrics
from nephroscale.reporting.results import ModelResults, Run, average_seeds, read_results

CLASSES = ["IgAN", "MN", "LN"]


def run(fold, seed, patients, labels, chances):
    predictions = None if chances is None else Predictions(patients, np.array(labels), np.array(chances, float))
    return Run(fold, seed, predictions, [], [], None)


def sure(predicted, p=0.8):
    chances = np.full((len(predicted), 3), (1 - p) / 2)
    chances[np.arange(len(predicted)), predicted] = p
    return chances


def model(name, runs, modalities=("TEM", "OM", "IM")):
    return ModelResults(name, {"modalities": list(modalities)}, runs)


FIRST = ["A1", "B1", "C1"]
SECOND = ["A2", "B2", "C2"]


def build(*models, headline=None):
    return build_metrics({m.name: m for m in models}, CLASSES, headline=headline, resamples=200, seed=1)


def test_pooled_and_fold_figures_worked_out_by_hand():
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


def test_seeds_are_averaged_for_the_pool_and_not_for_the_folds():
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


def test_a_fold_without_a_class_says_why_its_auc_is_missing():
    ours = model(
        "ours", [run("0", 1, FIRST[:2], [0, 1], sure([0, 1])), run("1", 1, SECOND, [0, 1, 2], sure([0, 1, 2]))]
    )
    folds = build(ours)["models"]["ours"]["folds"]
    assert folds["macro_auc"]["values"] == [None, 1.0]
    assert folds["macro_auc"]["mean"] == 1
    assert "1 of the 3 classes" in folds["undefined"]["macro_auc"]["0"]


def test_differences_are_paired_over_the_patients_that_both_predict():
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


def test_p_values_are_corrected_over_the_rivals_for_each_metric_by_itself():
    labels, patients = np.repeat([0, 1, 2], 6), [f"P{i:02d}" for i in range(18)]
    wrong = {"ours": [], "rival-a": [0], "rival-b": [1, 7], "rival-c": [2, 3, 8, 9, 14]}
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
    assert p_values["rival-c"] < p_values["rival-b"] < p_values["rival-a"]
    assert found["rival-c"]["accuracy"]["p_holm"] == pytest.approx(3 * p_values["rival-c"], abs=2e-6)
    assert found["rival-b"]["accuracy"]["p_holm"] == pytest.approx(2 * p_values["rival-b"], abs=2e-6)


def test_missing_runs_are_named_and_no_runs_leave_no_figures():
    half = model("half", [run("0", 1, FIRST, [0, 1, 2], sure([0, 1, 2])), run("1", 1, [], [], None)])
    none = model("none", [run("0", 1, [], [], None)])
    found = build(half, none)["models"]
    assert found["half"]["missing"] == ["fold 1, seed 1"]
    assert found["none"]["patients"] == 0
    assert found["none"]["pooled"]["accuracy"] == {"value": None, "low": None, "high": None}
    assert found["none"]["folds"]["accuracy"] == {"mean": None, "sd": None, "values": []}


def test_a_patient_tested_twice_and_seeds_that_differ_are_refused():
    twice = model(
        "twice", [run("0", 1, FIRST, [0, 1, 2], sure([0, 1, 2])), run("1", 1, FIRST, [0, 1, 2], sure([0, 1, 2]))]
    )
    with pytest.raises(NephroscaleError, match="A1, B1, C1"):
        build(twice)
    with pytest.raises(NephroscaleError, match="seeds"):
        average_seeds(
            [Predictions(FIRST, np.zeros(3), sure([0, 0, 0])), Predictions(SECOND, np.zeros(3), sure([0, 0, 0]))]
        )


def test_the_headline_model_is_the_first_or_the_one_named():
    one, two = (model(name, [run("0", 1, FIRST, [0, 1, 2], sure([0, 1, 2]))]) for name in ("one", "two"))
    assert build(one, two)["headline"] == "one"
    assert build(one, two, headline="two")["headline"] == "two"
    with pytest.raises(NephroscaleError, match="headline model"):
        build(one, headline="three")


def test_results_are_read_from_the_objects(two_seeds):
    results = read_results("im-only", two_seeds["models"]["im-only"], CLASSES)
    assert [(r.fold, r.seed) for r in results.runs] == [(str(k), s) for k in range(5) for s in (1, 2)]
    pooled = results.pooled
    assert pooled.patients == sorted(pooled.patients)
    assert len(pooled.patients) == 27
    first = np.mean([p.probabilities[0] for p in results.of_fold("0")], axis=0)
    np.testing.assert_allclose(pooled.probabilities[pooled.patients.index("P001")], first)
    found = build_metrics({"im-only": results}, CLASSES, headline=None, resamples=100, seed=0)["models"]["im-only"]
    expected = balanced_accuracy_score(pooled.labels, pooled.probabilities.argmax(1))
    assert found["pooled"]["balanced_accuracy"]["value"] == pytest.approx(expected, abs=1e-6)
