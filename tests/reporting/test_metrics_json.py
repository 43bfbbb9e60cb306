import numpy as np
import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.comparison import holm
from nephroscale.evaluation.metrics import METRICS
from nephroscale.evaluation.tables import Predictions
from nephroscale.reporting.metric_values import as_json
from nephroscale.reporting.metrics_json import build_metrics
from nephroscale.reporting.results import FoldResult, ModelResults
from nephroscale.reporting.settings import PrimarySettings, ReportSettings
from support.ordered_classes import LABELS, PATIENTS, PREDICTED, describe, make_run

CLASSES = ["IgAN", "MN", "LN"]


def run(fold, seed, patients, labels, chances):
    predictions = None if chances is None else Predictions(patients, np.array(labels), np.array(chances, float))
    return FoldResult(fold, seed, predictions)


def sure(predicted, p=0.8):
    chances = np.full((len(predicted), 3), (1 - p) / 2)
    chances[np.arange(len(predicted)), predicted] = p
    return chances


def model(name, runs, modalities=("TEM", "OM", "IM")):
    return ModelResults(name, runs, modalities)


PRIMARY = {("a", "accuracy"), ("b", "accuracy")}
FIRST = ["A1", "B1", "C1"]
SECOND = ["A2", "B2", "C2"]


def build(*models, people=None, **settings):
    settings = ReportSettings(**{"swaps": 200, **settings})
    return as_json(build_metrics({m.name: m for m in models}, CLASSES, settings, seed=1, people=people))


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
    assert (sensitivity["low"], sensitivity["high"]) == pytest.approx((0.025, 0.975), abs=1e-6)  # of 1 of 2, mid-p
    for metric in METRICS:
        assert found["pooled"][metric]["low"] <= found["pooled"][metric]["value"] <= found["pooled"][metric]["high"]


def test_figures_are_those_of_one_network_and_the_ensemble_has_a_row_of_its_own():
    ours = model(
        "ours",
        [run("0", 1, FIRST, [0, 1, 2], sure([0, 1, 2], 0.9)), run("0", 2, FIRST, [0, 1, 2], sure([0, 1, 1], 0.6))],
    )
    found = build(ours)["models"]["ours"]
    assert found["seeds"] == [1, 2]
    assert found["patients"] == 3
    assert found["pooled"]["accuracy"]["value"] == pytest.approx((1 + 2 / 3) / 2, abs=1e-6)
    assert found["networks"]["accuracy"] == [1, pytest.approx(2 / 3, abs=1e-6)]
    assert found["ensemble"]["accuracy"]["value"] == 1  # the sure network outweighs the unsure one
    assert found["confusion"] == [[1, 0, 0], [0, 1, 0], [0, 0.5, 0.5]]
    assert found["folds"]["accuracy"]["values"] == [pytest.approx((1 + 2 / 3) / 2, abs=1e-6)]
    assert found["folds"]["accuracy"]["sd"] is None
    assert build(model("ours", ours.runs[:1]))["models"]["ours"]["ensemble"] == {}


def test_areas_count_pairs_within_folds():
    labels = [0, 1, 2]
    ours = model("ours", [run("0", 1, FIRST, labels, sure(labels, 0.9)), run("1", 1, SECOND[:2], [0, 1], sure([0, 1]))])
    found = build(ours)["models"]["ours"]
    assert found["pairs"] == {
        "IgAN": {"pairs": 3, "folds": 2},
        "MN": {"pairs": 3, "folds": 2},
        "LN": {"pairs": 2, "folds": 1},
    }
    assert found["pooled"]["macro_auc"]["value"] == found["pooled_auc"]["value"] == 1
    none = build(model("none", [run("0", 1, FIRST[:2], [0, 1], sure([0, 1])), run("1", 1, ["C1"], [2], sure([2]))]))
    assert none["models"]["none"]["pooled"]["macro_auc"]["value"] is None
    assert none["models"]["none"]["undefined"] == {"macro_auc": "no pair within a fold for 1 of the 3 classes"}
    assert none["models"]["none"]["pooled_auc"]["value"] == 1


def test_width_of_the_interval_and_patients_for_a_narrower_one():
    labels, patients = np.repeat([0, 1, 2], 10), [f"P{i:02d}" for i in range(30)]
    found = build(model("ours", [run("0", 1, patients, labels, sure(labels))]))["models"]["ours"]
    precision, interval = found["precision"], found["pooled"]["balanced_accuracy"]
    assert precision["width"] == pytest.approx(interval["high"] - interval["low"], abs=1e-6)
    assert precision["effective"] == pytest.approx(30)
    assert precision["patients_for_width"] == 35  # 1.96^2 / (35 + 1.96^2) < 0.10


def test_predictive_values_are_those_of_the_stated_prevalences():
    labels, patients = np.repeat([0, 1, 2], 10), [f"P{i:02d}" for i in range(30)]
    predicted = labels.copy()
    predicted[[0, 10, 11]] = 2
    shares = {"IgAN": 0.5, "MN": 0.3, "LN": 0.2}
    found = build(model("ours", [run("0", 1, patients, labels, sure(predicted))]), prevalences=shares)
    values = found["models"]["ours"]["prevalence"]["LN"]
    assert values["ppv"]["value"] == pytest.approx(0.2 / (0.2 + 0.5 * 0.1 + 0.3 * 0.2), abs=1e-6)
    assert (values["npv"]["value"], values["npv"]["high"]) == (1, 1)
    assert 0 < values["npv"]["low"] < 1
    assert 0 < values["ppv"]["low"] < values["ppv"]["value"] < values["ppv"]["high"] < 1


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
    assert found["fewer"]["balanced_accuracy"]["value"] == pytest.approx(-1 / 6, abs=1e-6)
    same, worse = found["same"]["balanced_accuracy"], found["worse"]["balanced_accuracy"]
    assert (same["value"], same["p"], same["p_holm"]) == (0, 1, None)
    assert same["low"] < 0 < same["high"]
    assert worse["value"] == pytest.approx(-0.5, abs=1e-6)  # of this model minus the headline model
    assert worse["low"] < -0.5 < worse["high"]
    assert worse["p"] == 0.25  # three against none, exact
    assert metrics["discordant"]["worse"] == {"better": 0, "worse": 3}


@pytest.mark.slow
def test_only_the_declared_contrasts_are_adjusted():
    labels, patients = np.repeat([0, 1, 2], 8), [f"P{i:02d}" for i in range(24)]
    wrong = {"ours": [], "a": [0, 1, 8, 9, 16, 17], "b": range(0, 24, 3), "c": [2, 3, 8, 9, 14]}
    models = []
    for name, where in wrong.items():
        predicted = labels.copy()
        predicted[list(where)] = (labels[list(where)] + 1) % 3
        models.append(model(name, [run("0", 1, patients, labels, sure(predicted))]))
    metrics = build(*models, primary=PrimarySettings("accuracy", ("a", "b"), "2026-01-01"))
    assert metrics["primary"] == {"metric": "accuracy", "contrasts": ["a", "b"], "date": "2026-01-01"}
    found = metrics["comparisons"]
    p_values = {name: found[name]["accuracy"]["p"] for name in "abc"}
    assert p_values == pytest.approx({"a": 0.5**6, "b": 0.5**8, "c": 2 * 0.5**5}, abs=1e-6)
    adjusted = {name: found[name]["accuracy"]["p_holm"] for name in "ab"}
    assert adjusted == pytest.approx(holm({name: p_values[name] for name in "ab"}), abs=2e-6)
    others = [d["p_holm"] for name in "abc" for metric, d in found[name].items() if (name, metric) not in PRIMARY]
    assert others == [None] * 10
    assert build(*models)["primary"] is None


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


def test_all_biopsies_of_a_patient_count_together():
    given = make_run(PATIENTS, LABELS, PREDICTED)
    people = {"P0": "A", "P1": "A", "P4": "B", "P5": "B"}
    one, other = describe(given), describe(given, people=people)
    assert (one["people"], other["people"]) == (6, 4)
    widths = [found["pooled"]["accuracy"]["high"] - found["pooled"]["accuracy"]["low"] for found in (one, other)]
    assert one["pooled"]["accuracy"]["value"] == other["pooled"]["accuracy"]["value"]
    assert widths[0] < widths[1]
