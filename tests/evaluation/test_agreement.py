import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from nephroscale.evaluation.agreement import disagreement_weights, estimate_kappa
from nephroscale.evaluation.networks import Networks, weighted_kappa

COHEN = np.array([[88, 14, 18], [10, 40, 10], [2, 6, 12]])
"""200 patients by two judges: personality disorder, neurosis, psychosis (Cohen 1968, table 1)."""


def test_weighted_kappa_of_cohens_example():
    weights = np.array([[0, 1, 3], [1, 0, 6], [3, 6, 0]])
    assert weighted_kappa(COHEN, weights) == pytest.approx(0.348, abs=5e-4)
    assert weighted_kappa(COHEN, disagreement_weights(3, ordered=False)) == pytest.approx(0.492, abs=5e-4)


@pytest.mark.parametrize("ordered", [False, True])
def test_kappa_of_two_raters_is_that_of_scikit_learn(ordered):
    rng = np.random.default_rng(1)
    one = rng.integers(0, 3, 60)
    other = np.where(rng.random(60) < 0.7, one, rng.integers(0, 3, 60))
    found = estimate_kappa(Networks.of(one, np.eye(3)[other]), disagreement_weights(3, ordered=ordered))
    expected = cohen_kappa_score(one, other, weights="quadratic" if ordered else None)
    assert found.interval.value == pytest.approx(expected)
    assert found.interval.low < expected < found.interval.high


def test_perfect_agreement_has_an_interval_and_one_class_none():
    labels = np.arange(30) % 3
    weights = disagreement_weights(3, ordered=False)
    found = estimate_kappa(Networks.of(labels, np.eye(3)[labels]), weights).interval
    assert found.value == found.high == 1
    assert 0.6 < found.low < 0.9
    assert estimate_kappa(Networks.of(np.zeros(9, int), np.eye(3)[np.zeros(9, int)]), weights).interval is None
