"""Classification metrics of class probabilities.

References
----------
Brodersen KH et al. The balanced accuracy and its posterior distribution. ICPR 2010. Hand DJ, Till RJ. A simple
generalisation of the area under the ROC curve for multiple class problems. Machine Learning 45, 2001. Cohen J. Weighted
kappa: nominal scale agreement with provision for scaled disagreement. Psychological Bulletin 70, 1968.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nephroscale.errors import NephroscaleError

METRICS = ("accuracy", "balanced_accuracy", "macro_auc", "macro_f1")

ORDINAL_METRICS = ("quadratic_kappa", "mean_class_error", "one_class_off", "within_one_class")
"""Metrics of ordered classes: quadratic-weighted kappa, mean absolute error in classes, and the shares of patients
whose prediction is off by exactly one class and by at most one class."""


class Value(NamedTuple):
    """Value of a metric, or None with the reason why it is not defined."""

    value: float | None
    reason: str | None = None


class ClassRates(NamedTuple):
    """Sensitivity and specificity of each class; None where no patient defines it."""

    sensitivity: list[float | None]
    specificity: list[float | None]


def check_predictions(labels: np.ndarray, probabilities: np.ndarray) -> None:
    """Check that labels and probabilities fit each other.

    Parameters
    ----------
    labels
        [n] class indices.
    probabilities
        [n, classes], each row summing to 1.

    Raises
    ------
    NephroscaleError
        When there are no patients, a value is not a probability, or a label is not a class index.
    """
    shaped = probabilities.ndim == 2 and labels.shape == (len(probabilities),) and probabilities.shape[1] >= 2
    fault = ""
    if not shaped or len(labels) == 0:
        fault = f"labels have shape {labels.shape} and probabilities have shape {probabilities.shape}"
    elif not np.isfinite(probabilities).all() or probabilities.min() < 0:
        fault = "some probabilities are negative or not finite"
    elif np.abs(probabilities.sum(axis=1) - 1).max() > 1e-4:
        fault = "the probabilities of a patient do not sum to 1"
    elif labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        fault = "a label is not a class index"
    if fault:
        raise NephroscaleError(f"These predictions are invalid: {fault}.", fix="Evaluate the model again.")


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Count patients by true class (rows) and predicted class (columns): [classes, classes] int64."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    return matrix


def class_rates(matrix: np.ndarray) -> ClassRates:
    """Compute sensitivity and specificity of each class.

    Parameters
    ----------
    matrix
        [classes, classes] counts, true class by row.
    """
    hit, true, predicted = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    negatives = matrix.sum() - true
    correct_negatives = negatives - predicted + hit
    return ClassRates(
        sensitivity=[float(h / t) if t else None for h, t in zip(hit, true, strict=True)],
        specificity=[float(c / n) if n else None for c, n in zip(correct_negatives, negatives, strict=True)],
    )


def macro_auc(labels: np.ndarray, probabilities: np.ndarray) -> Value:
    """Mean one-versus-rest area under the ROC curve; not defined without a patient of every class."""
    from sklearn.metrics import roc_auc_score

    classes = probabilities.shape[1]
    if absent := set(range(classes)) - set(labels.tolist()):
        return Value(None, f"no patient of {len(absent)} of the {classes} classes")
    return Value(float(np.mean([roc_auc_score(labels == c, probabilities[:, c]) for c in range(classes)])))


def compute_metrics(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Value]:
    """Compute all metrics of unordered classes.

    Parameters
    ----------
    labels
        [n] class indices.
    probabilities
        [n, classes], each row summing to 1; the class with the largest value is the prediction, the first one of ties.

    Returns
    -------
    dict
        Each of :data:`METRICS` to its value in [0, 1], or to the reason why it is not defined. Balanced accuracy is the
        mean sensitivity over the classes that occur, macro F1 the mean over the classes that occur or are predicted.

    Raises
    ------
    NephroscaleError
        When the predictions are invalid.
    """
    from sklearn.metrics import f1_score

    labels, probabilities = np.asarray(labels, np.int64), np.asarray(probabilities, np.float64)
    check_predictions(labels, probabilities)
    predicted = probabilities.argmax(axis=1)
    sensitivity = class_rates(confusion(labels, predicted, probabilities.shape[1])).sensitivity
    return {
        "accuracy": Value(float((predicted == labels).mean())),
        "balanced_accuracy": Value(float(np.mean([s for s in sensitivity if s is not None]))),
        "macro_auc": macro_auc(labels, probabilities),
        "macro_f1": Value(float(f1_score(labels, predicted, average="macro", zero_division=0))),
    }
