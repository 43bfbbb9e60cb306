import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score

from nephroscale.evaluation.intervals import (
    class_auc_interval,
    percentile_interval,
    resample_counts,
    resampled_metrics,
    resampled_ordinal_metrics,
    wilson_interval,
)
from nephroscale.evaluation.metrics import METRICS, compute_metrics, compute_ordinal_metrics


def predictions(seed, n=24, classes=3, ties=False):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    chances = np.exp(rng.normal(size=(n, classes)) + np.eye(classes)[labels])
    if ties:
        chances = np.round(chances * 2) + 1
    return labels, chances / chances.sum(1, keepdims=True)


def bootstrap_intervals(labels, chances, resamples, seed):
    values = resampled_metrics(labels, chances, resample_counts(labels, resamples, seed))
    return {metric: percentile_interval(values[metric]) if metric in values else None for metric in METRICS}


@pytest.mark.slow
@given(seed=st.integers(0, 1000), ties=st.booleans())
@settings(max_examples=20, deadline=None)
def test_vectorised_metrics_equal_those_of_each_sample(seed, ties):
    labels, chances = predictions(seed, ties=ties)
    counts = resample_counts(labels, 4, seed)
    together = resampled_metrics(labels, chances, counts)
    for b, count in enumerate(counts):
        rows = np.repeat(np.arange(len(labels)), count)
        alone = compute_metrics(labels[rows], chances[rows])
        for metric in METRICS:
            assert together[metric][b] == pytest.approx(alone[metric].value), metric


def test_every_class_keeps_its_number_of_patients():
    labels = np.array([0] * 3 + [1] * 7 + [2])
    counts = resample_counts(labels, 50, 0)
    for c, size in ((0, 3), (1, 7), (2, 1)):
        assert (counts[:, labels == c].sum(1) == size).all()
    assert len({row.tobytes() for row in counts}) > 40


def test_intervals_contain_the_metric_and_depend_on_the_seed():
    labels, chances = predictions(3, n=40)
    once = bootstrap_intervals(labels, chances, 500, 7)
    assert once == bootstrap_intervals(labels, chances, 500, 7)
    assert once != bootstrap_intervals(labels, chances, 500, 8)
    for metric, found in compute_metrics(labels, chances).items():
        low, high = once[metric]
        assert 0 <= low <= found.value <= high <= 1
        assert low < high


def test_more_patients_give_narrower_intervals():
    def width(n):
        low, high = bootstrap_intervals(*predictions(1, n=n), 400, 0)["accuracy"]
        return high - low

    assert width(400) < 0.6 * width(40)


def test_perfect_predictions_have_no_spread_and_an_absent_class_no_auc():
    labels = np.array([0, 1, 0, 1])
    chances = np.eye(3)[labels]
    found = bootstrap_intervals(labels, chances, 100, 0)
    assert found["accuracy"] == (1, 1)
    assert found["macro_auc"] is None


def test_the_mean_of_the_class_aucs_is_the_macro_auc():
    labels, chances = predictions(5)
    counts = resample_counts(labels, 100, 0)
    areas = [class_auc_interval(labels, chances, c, counts) for c in range(3)]
    assert np.mean([value for value, _, _ in areas]) == pytest.approx(
        compute_metrics(labels, chances)["macro_auc"].value
    )
    assert all(low <= value <= high for value, low, high in areas)
    assert class_auc_interval(np.zeros(3, int), np.eye(3), 0, np.ones((1, 3))) is None


def test_wilson_interval_of_a_proportion():
    assert wilson_interval(0, 0) is None
    assert wilson_interval(9, 10) == pytest.approx((0.5958, 0.9821), abs=1e-4)  # as tables give it
    assert wilson_interval(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)


@given(trials=st.integers(1, 400), share=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_wilson_interval_equals_that_of_scipy(trials, share):
    successes = round(share * trials)
    expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert wilson_interval(successes, trials) == pytest.approx((expected.low, expected.high), rel=0, abs=1e-15)


LABELS = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 2])
PREDICTED = np.array([0, 1, 2, 1, 1, 2, 2, 2, 1, 0])


def test_vectorised_ordinal_metrics_equal_those_of_each_sample():
    counts = resample_counts(LABELS, 50, 1)
    found = resampled_ordinal_metrics(LABELS, PREDICTED, 3, counts)
    for sample, many in enumerate(counts):
        labels, predicted = np.repeat(LABELS, many), np.repeat(PREDICTED, many)
        alone = compute_ordinal_metrics(labels, predicted, 3)
        assert {k: v[sample] for k, v in found.items()} == pytest.approx({k: v.value for k, v in alone.items()})
        assert found["quadratic_kappa"][sample] == pytest.approx(
            cohen_kappa_score(labels, predicted, weights="quadratic")
        )


def test_all_cases_of_a_patient_are_drawn_together():
    people = ["a", "a", "b", "c", "d", "e", "f", "f", "g", "h"]
    counts = resample_counts(LABELS, 200, 2, people)
    assert (counts[:, 0] == counts[:, 1]).all()
    assert (counts[:, 6] == counts[:, 7]).all()
    assert (counts[:, 2] != counts[:, 0]).any()
    alone = resample_counts(LABELS, 200, 2, [str(n) for n in range(10)])
    assert (alone == resample_counts(LABELS, 200, 2)).all()
