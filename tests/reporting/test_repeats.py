import numpy as np
import pytest
from scipy.stats import t as student

from nephroscale.cohort.fold_table import FoldSides, FoldTable
from nephroscale.evaluation.tables import Predictions
from nephroscale.reporting.other_divisions import summarise_repeats
from nephroscale.reporting.results import FoldResult, ModelResults

CASES = [f"P{i}" for i in range(8)]
LABELS = {case: i % 2 for i, case in enumerate(CASES)}
TESTS = [CASES[:4], CASES[4:], CASES[2:6], CASES[:2] + CASES[6:]]
FOLDS = FoldTable(
    ("A", "B"),
    LABELS,
    tuple(FoldSides(str(k), tuple(c for c in CASES if c not in test), (), tuple(test)) for k, test in enumerate(TESTS)),
    repeats=2,
)


def results(name, wrong):
    """One run a fold; `wrong` has the case of each fold that is predicted wrongly, or None."""
    runs = []
    for k, (test, miss) in enumerate(zip(TESTS, wrong, strict=True)):
        labels = np.array([LABELS[case] for case in test])
        predicted = np.where(np.array(test) == miss, 1 - labels, labels)
        runs.append(FoldResult(str(k), 1, Predictions(test, labels, np.eye(2)[predicted])))
    return ModelResults(name, runs)


def test_each_division_has_a_figure_and_models_are_compared_over_all_folds():
    models = {"cmusnet": results("cmusnet", [None] * 4), "om": results("om", ["P0", None, "P2", "P1"])}
    found = summarise_repeats(models, FOLDS, "cmusnet")
    assert found.values == {"cmusnet": [1, 1], "om": [pytest.approx(7 / 8), pytest.approx(6 / 8)]}
    (name,) = found.tests
    test = found.tests[name]
    assert (name, test.difference, test.folds) == ("om", -0.1875, 4)
    variance = np.var([-0.25, 0, -0.25, -0.25], ddof=1)
    assert test.t == pytest.approx(-0.1875 / np.sqrt((1 / 4 + 1) * variance), abs=1e-6)
    assert test.p == pytest.approx(2 * student.sf(-test.t, 3), abs=1e-6)


def test_one_division_has_no_repeats():
    table = FoldTable(FOLDS.classes, LABELS, FOLDS.folds[:2])
    assert summarise_repeats({"cmusnet": results("cmusnet", [None] * 4)}, table, "cmusnet") is None


def test_models_that_differ_in_no_fold_have_no_test():
    models = {name: results(name, [None] * 4) for name in ("cmusnet", "om")}
    assert summarise_repeats(models, FOLDS, "cmusnet").tests == {}
