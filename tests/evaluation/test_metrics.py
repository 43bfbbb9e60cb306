import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.metrics import (
    METRICS,
    ORDINAL_METRICS,
    class_rates,
    compute_metrics,
    confusion,
)
from nephroscale.evaluation.networks import confusion_metrics


def random_predictions(seed, n=30, classes=3, sharp=1.0):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    logits = rng.normal(size=(n, classes)) + sharp * np.eye(classes)[labels]
    chances = np.exp(logits)
    return labels, chances / chances.sum(1, keepdims=True)


@pytest.mark.slow
@given(seed=st.integers(0, 10_000), classes=st.integers(2, 5))
@settings(max_examples=40, deadline=None)
def test_metrics_equal_those_of_scikit_learn(seed, classes):
    labels, chances = random_predictions(seed, classes=classes)
    predicted = chances.argmax(1)
    found = {name: value.value for name, value in compute_metrics(labels, chances).items()}
    assert tuple(found) == METRICS
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(labels, predicted))
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(labels, predicted))
    assert found["macro_f1"] == pytest.approx(sk.f1_score(labels, predicted, average="macro"))
    if classes > 2:
        assert found["macro_auc"] == pytest.approx(sk.roc_auc_score(labels, chances, multi_class="ovr"))
    else:
        assert found["macro_auc"] == pytest.approx(sk.roc_auc_score(labels, chances[:, 1]))


def test_class_rates_of_a_small_example():
    matrix = np.array([[3, 1, 0], [0, 2, 0], [1, 0, 3]])
    found = class_rates(matrix)
    assert found.sensitivity == [0.75, 1.0, 0.75]
    assert found.specificity == pytest.approx([5 / 6, 7 / 8, 1.0])


def test_metrics_of_an_absent_class_are_undefined_with_a_reason():
    chances = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1]])
    found = compute_metrics(np.array([0, 1]), chances)
    assert found["macro_auc"].value is None
    assert "1 of the 3 classes" in found["macro_auc"].reason
    assert found["balanced_accuracy"].value == 1
    matrix = confusion(np.array([0, 1]), chances.argmax(1), 3)
    assert matrix.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert class_rates(matrix).sensitivity == [1.0, 1.0, None]
    assert class_rates(np.array([[2, 0], [0, 0]])).specificity == [None, 1.0]


def test_every_class_has_its_row_in_the_confusion_matrix():
    assert confusion(np.array([0, 0]), np.array([2, 0]), 4).shape == (4, 4)


@pytest.mark.parametrize(
    ("labels", "chances"),
    [
        ([], np.zeros((0, 3))),
        ([0], [[0.5, np.nan]]),
        ([0], [[1.2, -0.2]]),
        ([0], [[0.5, 0.4]]),
        ([2], [[0.5, 0.5]]),
        ([-1], [[0.5, 0.5]]),
        ([0, 1], [[0.5, 0.5]]),
    ],
)
def test_invalid_predictions_are_refused(labels, chances):
    with pytest.raises(NephroscaleError):
        compute_metrics(np.array(labels, int), np.array(chances))


LABELS = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 2])
PREDICTED = np.array([0, 1, 2, 1, 1, 2, 2, 2, 1, 0])


def ordinal_metrics(labels, predicted):
    return confusion_metrics(confusion(labels, predicted, 3), ordered=True)


def test_ordinal_metrics_of_a_small_example():
    found = ordinal_metrics(LABELS, PREDICTED)
    assert found["mean_class_error"] == pytest.approx(0.7)
    assert found["one_class_off"] == pytest.approx(0.3)
    assert found["within_one_class"] == pytest.approx(0.8)
    assert set(found) >= set(ORDINAL_METRICS)


def test_an_error_of_two_classes_counts_more_than_one():
    near, far = LABELS.copy(), LABELS.copy()
    near[0], far[0] = 1, 2
    kappa = [ordinal_metrics(LABELS, p)["quadratic_kappa"] for p in (LABELS, near, far)]
    assert kappa[0] == 1.0
    assert kappa[0] > kappa[1] > kappa[2]


def test_kappa_of_a_single_class_is_undefined():
    assert np.isnan(ordinal_metrics(np.zeros(3, int), np.zeros(3, int))["quadratic_kappa"])
