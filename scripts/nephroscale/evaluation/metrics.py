"""Figures of merit of class probabilities against true classes.

References
----------
Brodersen KH et al. The balanced accuracy and its posterior distribution. ICPR 2010. Hand DJ, Till RJ. A simple
generalisation of the area under the ROC curve for multiple class problems. Machine Learning 45, 2001. Cohen J. Weighted
kappa: nominal scale agreement with provision for scaled disagreement. Psychological Bulletin 70, 1968.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import cohen_kappa_score, confusion_matrix, f1_score, roc_auc_score

from nephroscale.errors import NephroscaleError

METRICS = ("accuracy", "balanced_accuracy", "macro_auc", "macro_f1")

ORDINAL_METRICS = ("quadratic_kappa", "mean_stage_error", "one_stage_off", "within_one_stage")
"""Of ordered classes alone: agreement weighted by the squared distance, distance in stages, and shares of patients who
are exactly one stage off and at most one."""


class Value(NamedTuple):
    """A figure, or None with the reason why it is not defined."""

    value: float | None
    reason: str | None = None


def check_predictions(labels: np.ndarray, probabilities: np.ndarray) -> None:
    """Make sure that predictions can be judged.

    Parameters
    ----------
    labels
        [n] class indices.
    probabilities
        [n, classes], each row summing to 1.

    Raises
    ------
    NephroscaleError
        When there are none, a value is no probability, or a label is no class.
    """
    shaped = probabilities.ndim == 2 and labels.shape == (len(probabilities),) and probabilities.shape[1] >= 2
    fault = ""
    if not shaped or len(labels) == 0:
        fault = f"labels of shape {labels.shape} beside probabilities of shape {probabilities.shape}"
    elif not np.isfinite(probabilities).all() or probabilities.min() < 0:
        fault = "probabilities that are negative or not finite"
    elif np.abs(probabilities.sum(axis=1) - 1).max() > 1e-4:
        fault = "probabilities of a patient that do not sum to 1"
    elif labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        fault = "a label that is none of the classes"
    if fault:
        raise NephroscaleError(f"These predictions cannot be judged: {fault}.", todo="Evaluate the model again.")


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Count patients by true class (rows) and predicted class (columns): [classes, classes] int64."""
    return confusion_matrix(labels, predicted, labels=np.arange(classes))


def by_class(matrix: np.ndarray) -> dict[str, list[float | None]]:
    """Sensitivity and specificity of each class, None where no patient could show it.

    Parameters
    ----------
    matrix
        [classes, classes] counts, true class by row.
    """
    matrix = np.asarray(matrix)
    hit, true, predicted, total = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0), matrix.sum()
    negatives = total - true
    correct_negatives = total - true - predicted + hit
    return {
        "sensitivity": [float(h / t) if t else None for h, t in zip(hit, true, strict=True)],
        "specificity": [float(c / n) if n else None for c, n in zip(correct_negatives, negatives, strict=True)],
    }


def macro_auc(labels: np.ndarray, probabilities: np.ndarray) -> Value:
    """Mean over the classes of the area under the one-versus-rest ROC curve; needs a patient of every class."""
    classes = probabilities.shape[1]
    absent = sorted(set(range(classes)) - set(labels.tolist()))
    if absent:
        return Value(None, f"no patient of {len(absent)} of the {classes} classes")
    areas = [roc_auc_score(labels == c, probabilities[:, c]) for c in range(classes)]
    return Value(float(np.mean(areas)))


def compute_metrics(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Value]:
    """Compute all figures of merit.

    Parameters
    ----------
    labels
        [n] class indices.
    probabilities
        [n, classes], each row summing to 1; the largest one is the prediction, the first of equals.

    Returns
    -------
    dict
        For each of :data:`METRICS` its value in [0, 1], or the reason why there is none. Balanced accuracy is the mean
        sensitivity over the classes that occur, macro F1 the mean over the classes that occur or are predicted.

    Raises
    ------
    NephroscaleError
        When these are no predictions.
    """
    labels, probabilities = np.asarray(labels, np.int64), np.asarray(probabilities, np.float64)
    check_predictions(labels, probabilities)
    predicted = probabilities.argmax(axis=1)
    sensitivity = by_class(confusion(labels, predicted, probabilities.shape[1]))["sensitivity"]
    return {
        "accuracy": Value(float((predicted == labels).mean())),
        "balanced_accuracy": Value(float(np.mean([s for s in sensitivity if s is not None]))),
        "macro_auc": macro_auc(labels, probabilities),
        "macro_f1": Value(float(f1_score(labels, predicted, average="macro", zero_division=0))),
    }


def compute_ordinal_metrics(labels: np.ndarray, predicted: np.ndarray, classes: int) -> dict[str, Value]:
    """Compute the figures of merit of ordered classes.

    Parameters
    ----------
    labels, predicted
        [n] class indices, in the order of the stages.
    classes
        Number of classes.

    Returns
    -------
    dict
        For each of :data:`ORDINAL_METRICS` its value: kappa up to 1, 0 where agreement is by chance, and not defined
        where everybody is of one class and predicted so; the mean error in stages; two shares in [0, 1].
    """
    labels, predicted = np.asarray(labels, np.int64), np.asarray(predicted, np.int64)
    off = np.abs(labels - predicted)
    kappa = Value(None, "all true and predicted stages are the same")
    if len(np.union1d(labels, predicted)) > 1:
        kappa = Value(float(cohen_kappa_score(labels, predicted, labels=np.arange(classes), weights="quadratic")))
    return {
        "quadratic_kappa": kappa,
        "mean_stage_error": Value(float(off.mean())),
        "one_stage_off": Value(float((off == 1).mean())),
        "within_one_stage": Value(float((off <= 1).mean())),
    }


def describe_classes(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """Confusion matrix, and sensitivity and specificity of each class, as JSON values."""
    predicted = np.asarray(probabilities).argmax(axis=1)
    matrix = confusion(np.asarray(labels), predicted, np.asarray(probabilities).shape[1])
    return {"confusion": matrix.tolist(), **by_class(matrix)}
