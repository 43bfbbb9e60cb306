import numpy as np
import pytest

from nephroscale.cohort.fold_table import FoldSides, FoldTable
from nephroscale.evaluation.tables import Predictions
from nephroscale.reporting.other_divisions import summarise_left_out_sites, summarise_repeats
from nephroscale.reporting.results import FoldResult, ModelResults
from nephroscale.reporting.settings import ReportSettings

CASES = [f"P{i:02d}" for i in range(24)]
LABELS = {case: i % 2 for i, case in enumerate(CASES)}
SITES = {"north": CASES[:16], "south": CASES[16:]}
TESTS = [CASES[::2][:6] + CASES[1::2][:6], CASES[::2][6:] + CASES[1::2][6:], *SITES.values()]
FOLDS = FoldTable(
    ("A", "B"),
    LABELS,
    tuple(
        FoldSides(str(k), tuple(c for c in CASES if c not in test), (), tuple(test), site)
        for k, (test, site) in enumerate(zip(TESTS, (None, None, *SITES), strict=True))
    ),
    left_out_sites=2,
)


def results(name, wrong, folds=range(4)):
    """One run a fold; `wrong` has the number of cases of each fold that are predicted wrongly."""
    runs = []
    for k in folds:
        labels = np.array([LABELS[case] for case in TESTS[k]])
        predicted = np.where(np.arange(len(labels)) < wrong[k], 1 - labels, labels)
        runs.append(FoldResult(str(k), 1, Predictions(TESTS[k], labels, np.eye(2)[predicted])))
    return ModelResults(name, runs)


def summarise(models, folds=FOLDS):
    return summarise_left_out_sites(models, folds, ("A", "B"), ReportSettings(swaps=200), 1)


def test_figures_of_sites_stand_beside_those_of_the_folds():
    found = summarise({"cmusnet": results("cmusnet", [1, 1, 4, 2])})
    assert found.divided["cmusnet"].value == pytest.approx(22 / 24, abs=1e-3)
    assert found.pooled["cmusnet"].value == pytest.approx(18 / 24, abs=1e-3)
    assert found.difference["cmusnet"].value == pytest.approx(-4 / 24, abs=1e-3)
    assert found.difference["cmusnet"].low < -4 / 24 < found.difference["cmusnet"].high
    north, south = found.sites["cmusnet"]
    assert (north.value, north.patients, north.balanced_accuracy.value) == ("north", 16, pytest.approx(0.75))
    assert (south.value, south.patients, south.note) == ("south", 8, "too few patients")


def test_a_model_that_is_not_evaluated_on_the_sites_has_no_figures():
    found = summarise({"a": results("a", [0] * 4), "b": results("b", [0] * 4, folds=range(2))})
    assert list(found.pooled) == ["a"]


def test_the_folds_of_sites_are_in_no_other_figure():
    one = {"cmusnet": results("cmusnet", [0, 0, 16, 8])}
    stacked = one["cmusnet"].of_folds(FOLDS.divisions[0]).stack({})
    assert stacked.networks.predicted[0].tolist() == [LABELS[case] for case in stacked.cases]
    assert summarise_repeats(one, FOLDS, "cmusnet") is None
    assert summarise(one, FoldTable(FOLDS.classes, LABELS, FOLDS.folds[:2])) is None
