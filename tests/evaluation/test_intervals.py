import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nephroscale.evaluation.intervals import (
    bootstrap_intervals,
    class_auc_interval,
    resample_counts,
    resampled_metrics,
    wilson_interval,
)
from nephroscale.evaluation.metrics import METRICS, compute_metrics


def predictions(seed, n=24, classes=3, ties=False):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    chances = np.exp(rng.normal(size=(n, classes)) + np.eye(classes)[labels])
    if ties:
        chances = np.round(chances * 2) + 1
    return labels, chances / chances.sum(1, keepdims=True)


@given(seed=st.integers(0, 1000), ties=st.booleans())
@settings(max_examples=20, deadline=None)
def test_all_samples_at_once_are_each_sample_by_itself(seed, ties):
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


def test_intervals_hold_the_figure_and_come_from_the_seed():
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


def test_a_perfect_network_has_no_spread_and_an_absent_class_no_auc():
    labels = np.array([0, 1, 0, 1])
    chances = np.eye(3)[labels]
    found = bootstrap_intervals(labels, chances, 100, 0)
    assert found["accuracy"] == (1, 1)
    assert found["macro_auc"] is None


def test_the_classes_areas_make_up_the_macro_area():
    labels, chances = predictions(5)
    counts = resample_counts(labels, 100, 0)
    areas = [class_auc_interval(labels, chances, c, counts) for c in range(3)]
    assert np.mean([value for value, _, _ in areas]) == pytest.approx(
        compute_metrics(labels, chances)["macro_auc"].value
    )
    assert all(low <= value <= high for value, low, high in areas)
    assert class_auc_interval(np.zeros(3, int), np.eye(3), 0, np.ones((1, 3))) is None


def test_wilson_s_interval_of_a_proportion():
    assert wilson_interval(0, 0) is None
    assert wilson_interval(9, 10) == pytest.approx((0.5958, 0.9821), abs=1e-4)  # as tables give it
    assert wilson_interval(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
