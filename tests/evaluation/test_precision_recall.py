import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from nephroscale.evaluation.networks import Networks
from nephroscale.evaluation.precision_recall import average_precision, mean_precision

LABELS = np.array([1, 0, 1, 0, 1, 0])
SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
NETWORKS = Networks.of(LABELS, np.stack([1 - SCORES, SCORES], 1))


def test_one_fold_has_the_average_precision_of_scikit_learn():
    """By hand: the three patients are found at precisions 1, 2/3 and 3/5."""
    assert average_precision(NETWORKS, 1) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert average_precision(NETWORKS, 1) == pytest.approx(average_precision_score(LABELS, SCORES))


def test_precision_is_that_of_the_highest_threshold_that_reaches_a_recall():
    found = mean_precision(NETWORKS, 1, np.array([0.1, 1 / 3, 0.4, 2 / 3, 0.9, 1]))
    assert found == pytest.approx([1, 1, 2 / 3, 2 / 3, 3 / 5, 3 / 5])


def test_folds_count_by_their_patients_of_the_class():
    folds = [0, 0, 1, 1, 1, 1]
    found = average_precision(Networks.of(LABELS, NETWORKS.probabilities, folds=folds), 1)
    second = average_precision_score(LABELS[2:], SCORES[2:])
    assert found == pytest.approx((1 * 1 + 2 * second) / 3)
    apart = Networks.of(LABELS, NETWORKS.probabilities, folds=LABELS)
    assert average_precision(apart, 1) is None
