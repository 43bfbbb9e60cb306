from dataclasses import replace

import numpy as np
import pytest

from nephroscale.cohort.fold_table import FoldSides, FoldTable
from nephroscale.evaluation.tables import Predictions
from nephroscale.reporting.headline_section import COVERAGES, summarise_headline
from nephroscale.reporting.report_inputs import ListedCase, ListedImage, ReportInputs
from nephroscale.reporting.results import FoldResult, ModelResults
from nephroscale.reporting.settings import ActionSettings, ReportSettings

CLASSES = ["IgAN", "MN", "LN"]
CASES = [f"P{i:02d}" for i in range(12)]
LABELS = np.arange(12) % 3
FOLDS = FoldTable(
    tuple(CLASSES),
    dict(zip(CASES, LABELS.tolist(), strict=True)),
    tuple(FoldSides(str(k), tuple(c for c in CASES if c not in CASES[k::2]), (), tuple(CASES[k::2])) for k in range(2)),
)
ACTION = ActionSettings("cyclophosphamide", ("LN",), (0.5, 0.2))


@pytest.fixture
def results():
    chances = np.full((12, 3), 0.1)
    chances[np.arange(12), LABELS] = 0.8
    chances[2] = (0.7, 0.2, 0.1)
    return ModelResults("cmusnet", [FoldResult("0", 1, Predictions(CASES, LABELS, chances))])


@pytest.fixture
def inputs(tmp_path):
    return ReportInputs(classes=CLASSES, folds=tmp_path, models={})


def test_without_an_action_and_readers_there_are_confident_shares_alone(results, inputs):
    found = summarise_headline(results, inputs, ReportSettings(), FOLDS, 1)
    assert [point.coverage for point in found.confident] == list(COVERAGES)
    assert (found.confident[0].accuracy.value, found.confident[1].accuracy.value) == pytest.approx((11 / 12, 1))
    assert (found.decision, found.agreement, found.subgroups, found.facts) == (None, [], {}, {})


def test_a_named_action_has_a_decision_curve(results, inputs):
    found = summarise_headline(results, inputs, ReportSettings(action=ACTION), FOLDS, 1).decision
    assert (found.action, found.classes, found.stated) == ("cyclophosphamide", ["LN"], False)
    assert [point.threshold for point in found.points] == [0.2, 0.5]
    assert found.points[1].model.value == pytest.approx(3 / 12)
    assert found.points[1].always == pytest.approx(1 / 3 - 2 / 3)
    stated = ReportSettings(action=ACTION, prevalences={"IgAN": 0.6, "MN": 0.3, "LN": 0.1})
    found = summarise_headline(results, inputs, stated, FOLDS, 1).decision
    assert (found.stated, found.prevalence) == (True, 0.1)
    assert found.points[1].model.value == pytest.approx(0.1 * 3 / 4)


def test_readers_are_compared_with_the_model_and_with_each_other(results, inputs):
    right = {case: CLASSES[label] for case, label in zip(CASES, LABELS, strict=True)}
    readings = {"A": {**right, "P00": None, "X": "LN"}, "B": {**right, "P02": "MN"}}
    found = summarise_headline(results, replace(inputs, readings=readings), ReportSettings(), FOLDS, 1).agreement
    assert [(pair.first, pair.second) for pair in found] == [("A", "cmusnet"), ("B", "cmusnet"), ("A", "B")]
    assert [(pair.patients, pair.left_out) for pair in found] == [(11, 1), (12, 0), (11, 1)]
    assert found[2].kappa.value == pytest.approx(1 - (1 / 11) / (1 - (3 * 3 + 4 * 5 + 4 * 3) / 121), abs=1e-6)
    assert found[0].kappa.low < found[0].kappa.value < found[0].kappa.high


def test_a_model_without_an_evaluation_has_none_of_them(inputs):
    readings = {"A": {"P00": "MN"}, "B": {"P00": "MN"}}
    bare = ModelResults("cmusnet", [])
    found = summarise_headline(bare, replace(inputs, readings=readings), ReportSettings(action=ACTION), FOLDS, 1)
    assert (found.confident, found.decision) == ([], None)
    assert [(pair.first, pair.second) for pair in found.agreement] == [("A", "B")]


@pytest.mark.slow
def test_a_site_with_mostly_one_class_is_a_shortcut(results, inputs):
    cases = {c: ListedCase("diagnosis", site="xyz"[label]) for c, label in FOLDS.labels.items()}
    found = summarise_headline(results, replace(inputs, cases=cases), ReportSettings(permutations=39), FOLDS, 1)
    assert found.shortcut == found.facts["acquisition"]
    assert (found.shortcut.facts, found.shortcut.patients, found.shortcut.p) == (3, 12, 1 / 40)
    assert found.shortcut.pooled["balanced_accuracy"].value == 1
    assert 0.5 < found.shortcut.detectable < 1
    cases = {c: ListedCase("diagnosis", site="xy"[i // 6]) for i, c in enumerate(CASES)}
    found = summarise_headline(results, replace(inputs, cases=cases), ReportSettings(permutations=39), FOLDS, 1)
    assert found.facts["acquisition"].p > 0.05
    assert found.shortcut is None


@pytest.mark.slow
def test_grades_are_readings_and_no_shortcut(results, inputs):
    images = {f"{c}-I": ListedImage(c, "IM", "IgA", grade=float(label)) for c, label in FOLDS.labels.items()}
    found = summarise_headline(results, replace(inputs, images=images), ReportSettings(permutations=39), FOLDS, 1)
    assert list(found.facts) == ["readings"]
    assert found.facts["readings"].p == 1 / 40
    assert found.shortcut is None
