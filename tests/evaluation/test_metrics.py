import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.metrics import METRICS, by_class, compute_metrics, confusion, describe_classes


def random_predictions(seed, n=30, classes=3, sharp=1.0):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    logits = rng.normal(size=(n, classes)) + sharp * np.eye(classes)[labels]
    chances = np.exp(logits)
    return labels, chances / chances.sum(1, keepdims=True)


@given(seed=st.integers(0, 10_000), classes=st.integers(2, 5))
@settings(max_examples=40, deadline=None)
def test_figures_are_those_of_scikit_learn(seed, classes):
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


def test_a_table_worked_out_by_hand():
    matrix = np.array([[3, 1, 0], [0, 2, 0], [1, 0, 3]])
    found = by_class(matrix)
    assert found["sensitivity"] == [0.75, 1.0, 0.75]
    assert found["specificity"] == pytest.approx([5 / 6, 7 / 8, 1.0])


def test_a_class_without_patients_leaves_figures_undefined_with_the_reason():
    chances = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1]])
    found = compute_metrics(np.array([0, 1]), chances)
    assert found["macro_auc"].value is None
    assert "1 of the 3 classes" in found["macro_auc"].reason
    assert found["balanced_accuracy"].value == 1
    described = describe_classes(np.array([0, 1]), chances)
    assert described["sensitivity"] == [1.0, 1.0, None]
    assert described["confusion"] == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert by_class(np.array([[2, 0], [0, 0]]))["specificity"] == [None, 1.0]


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
def test_what_are_no_predictions_is_refused(labels, chances):
    with pytest.raises(NephroscaleError):
        compute_metrics(np.array(labels, int), np.array(chances))
