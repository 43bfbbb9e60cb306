"""A short version of benchmarks/coverage.py: coverage of the intervals, averaged over true values near a point."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
AROUND = {0.80: (0.77, 0.79, 0.81, 0.83), 0.95: (0.93, 0.95, 0.97)}
DESIGNS = (
    "balanced",
    "70/20/10 %",
    "one hard class",
    "two biopsies",
    "two unrelated biopsies",
    "two equal biopsies",
)


@pytest.fixture(scope="module")
def cohorts():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        import simulated_cohorts

        yield simulated_cohorts


@pytest.fixture(scope="module")
def benchmark(cohorts):
    return SimpleNamespace(**runpy.run_path(str(BENCHMARKS / "coverage.py")))


def covered(cohorts, design, point, persons=37, draws=1000):
    """Average coverage and width of balanced accuracy and macro F1: [2, 2]."""
    found = []
    for value in AROUND[point]:
        random = np.random.default_rng([persons, round(100 * value)])
        counts = cohorts.draw_outcomes(design, value, persons, draws, random)
        its = cohorts.label_intervals(counts, cohorts.outcomes(cohorts.DESIGNS[design].cases))
        true = cohorts.true_figures(design, value, persons, areas=False)
        found.append([(its[metric].cover(true[metric]), its[metric].width) for metric in true])
    return np.mean(found, axis=0)


@pytest.mark.parametrize("design", DESIGNS)
def test_fast_intervals_are_those_of_the_package(cohorts, design):
    for value in (0.6, 0.95):
        cohorts.check_intervals(design, value, 37)


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("point", AROUND)
def test_balanced_accuracy_and_f1_are_covered(cohorts, design, point):
    """The standard error of an average is 0.004."""
    found = covered(cohorts, design, point)[:, 0]
    assert (found > 0.935).all()
    assert (found < 0.985).all()


def test_biopsies_counted_as_persons_are_covered_too_often(cohorts, monkeypatch):
    """Without an estimate of their agreement, errors of a person that are unrelated count as one."""
    fewer = covered(cohorts, "two unrelated biopsies", 0.95)
    monkeypatch.setattr(cohorts, "PRIOR_REPEATS", 1e9)
    found = covered(cohorts, "two unrelated biopsies", 0.95)
    assert (found[:, 0] > 0.983).all()
    assert (found[:, 1] > 1.15 * fewer[:, 1]).all()


def test_areas_and_shares_are_covered(cohorts):
    true = cohorts.true_figures("two biopsies", 0.8, 37)
    drawn = cohorts.draw("two biopsies", 0.8, 37, 300, np.random.default_rng(4))
    found = cohorts.rank_intervals(drawn) | cohorts.share_intervals(drawn)
    assert set(found) == set(true) - {"balanced_accuracy", "macro_f1"}
    for kind in ("AUC", "sensitivity", "specificity", "macro_auc"):
        its = [interval.cover(true[name]) for name, interval in found.items() if name.startswith(kind)]
        assert np.mean(its) > 0.93 - 0.02, kind  # three standard errors of 900 intervals


def test_many_regressions_at_once_are_those_of_scikit_learn(benchmark):
    labels = np.arange(30) % 3
    x = np.random.default_rng(3).normal(size=(4, 30, 10)) + 2 * np.eye(10)[labels]
    for each, fitted in zip(x, benchmark.fit_logistic(x, labels), strict=True):
        expected = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(each, labels).predict_proba(each)
        found = benchmark.probabilities(each @ fitted[:-1] + fitted[-1])
        assert found == pytest.approx(expected, abs=1e-6)


def test_retrained_models_are_covered(benchmark, cohorts, monkeypatch):
    """Balanced accuracies of 0.78 to 0.83. The standard error is 0.012."""
    counts, expected = zip(*(benchmark.cross_validate(37, lead, 200, 300) for lead in (2.0, 2.1, 2.2)), strict=True)

    def average():
        its = [cohorts.label_intervals(each, cohorts.outcomes(1)) for each in counts]
        return [
            np.mean([found[m].cover(true[m]) for found, true in zip(its, expected, strict=True)])
            for m in cohorts.LABEL_METRICS
        ]

    found = average()
    assert min(found) > 0.885
    monkeypatch.setattr(cohorts, "TRAINING_VARIANCE", 1.0)
    assert max(np.array(average()) - found) < 0
