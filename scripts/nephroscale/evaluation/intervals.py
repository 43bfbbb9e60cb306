"""Bootstrap intervals over patients, and Wilson's interval of a proportion.

Bootstrap intervals describe how a metric varies with the patients for the networks as trained. They do not contain the
variation of the training itself, which the spread over folds and seeds shows.

References
----------
Efron B, Tibshirani RJ. An Introduction to the Bootstrap. Chapman & Hall, 1993 (percentile intervals).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from nephroscale.evaluation.metrics import check_predictions

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVEL = 0.95


def resample_counts(labels: np.ndarray, resamples: int, seed: int, people: Sequence[str] | None = None) -> np.ndarray:
    """Draw bootstrap samples of patients, stratified by class: every class keeps its number of patients.

    Parameters
    ----------
    labels
        [n] class indices.
    resamples
        Number of samples B.
    seed
        Seed of the draw.
    people
        [n] patient of each case, where patients may have several cases: a patient is drawn with all cases, in the
        stratum of the first one.

    Returns
    -------
    numpy.ndarray
        [B, n] int64: how often each patient is in each sample.
    """
    labels = np.asarray(labels)
    if people is not None and len(set(people)) < len(people):
        _, first, whose = np.unique(np.asarray(people), return_index=True, return_inverse=True)
        return resample_counts(labels[first], resamples, seed)[:, whose]
    rng = np.random.default_rng(seed)
    counts = np.zeros((resamples, len(labels)), np.int64)
    for c in np.unique(labels):
        members = np.flatnonzero(labels == c)
        counts[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=resamples)
    return counts


def resampled_metrics(labels: np.ndarray, probabilities: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the metrics of all bootstrap samples at once.

    Parameters
    ----------
    labels, probabilities
        As for :func:`nephroscale.evaluation.metrics.compute_metrics`, which gives the same values for a single sample.
    counts
        [B, n]: how often each patient is in each sample.

    Returns
    -------
    dict
        Metric to [B] float64, without macro AUC where it is not defined.
    """
    labels, probabilities = np.asarray(labels, np.int64), np.asarray(probabilities, np.float64)
    check_predictions(labels, probabilities)
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    weights = counts.astype(np.float64)

    matrices = _confusions(labels, predicted, classes, weights)
    hit, true, guessed = np.diagonal(matrices, axis1=1, axis2=2), matrices.sum(axis=2), matrices.sum(axis=1)
    occurs = true > 0
    sensitivity = np.divide(hit, true, out=np.zeros_like(hit), where=occurs)
    mentioned = (true + guessed) > 0
    f1 = np.divide(2 * hit, true + guessed, out=np.zeros_like(hit), where=mentioned)
    found = {
        "accuracy": hit.sum(axis=1) / weights.sum(axis=1),
        "balanced_accuracy": sensitivity.sum(axis=1) / occurs.sum(axis=1),
        "macro_f1": f1.sum(axis=1) / mentioned.sum(axis=1),
    }
    if len(np.unique(labels)) == classes:
        found["macro_auc"] = np.mean([_auc(labels == c, probabilities[:, c], weights) for c in range(classes)], axis=0)
    return found


def _confusions(labels: np.ndarray, predicted: np.ndarray, classes: int, weights: np.ndarray) -> np.ndarray:
    """Confusion matrices of the samples, [B, classes, classes], true class by row."""
    cells = np.zeros((len(labels), classes * classes))
    cells[np.arange(len(labels)), labels * classes + predicted] = 1
    return (weights @ cells).reshape(-1, classes, classes)


def resampled_ordinal_metrics(
    labels: np.ndarray, predicted: np.ndarray, classes: int, counts: np.ndarray
) -> dict[str, np.ndarray]:
    """Compute the metrics of ordered classes of all bootstrap samples at once.

    Parameters
    ----------
    labels, predicted, classes
        As for :func:`nephroscale.evaluation.metrics.compute_ordinal_metrics`, which gives the same values for a single
        sample.
    counts
        [B, n]: how often each patient is in each sample.

    Returns
    -------
    dict
        Metric to [B] float64; kappa is NaN where it is not defined.
    """
    matrices = _confusions(np.asarray(labels), np.asarray(predicted), classes, counts.astype(np.float64))
    total = matrices.sum(axis=(1, 2))
    off = np.abs(np.arange(classes)[:, None] - np.arange(classes)[None, :])
    expected = matrices.sum(axis=2)[:, :, None] * matrices.sum(axis=1)[:, None, :] / total[:, None, None]
    chance = (expected * off**2).sum(axis=(1, 2))
    disagreement = (matrices * off**2).sum(axis=(1, 2))
    kappa = 1 - np.divide(disagreement, chance, out=np.full_like(chance, np.nan), where=chance > 0)
    return {
        "quadratic_kappa": kappa,
        "mean_class_error": (matrices * off).sum(axis=(1, 2)) / total,
        "one_class_off": (matrices * (off == 1)).sum(axis=(1, 2)) / total,
        "within_one_class": (matrices * (off <= 1)).sum(axis=(1, 2)) / total,
    }


def class_auc_interval(
    labels: np.ndarray, probabilities: np.ndarray, c: int, counts: np.ndarray
) -> tuple[float, float, float] | None:
    """Compute the one-versus-rest area under the ROC curve of one class: (value, low, high) with a 95 % interval.

    Parameters
    ----------
    labels, probabilities
        As for :func:`nephroscale.evaluation.metrics.compute_metrics`.
    c
        Index of the class.
    counts
        [B, n]: how often each patient is in each sample.

    Returns
    -------
    tuple or None
        None where the class has no patient, or all of them.
    """
    positive = np.asarray(labels) == c
    if positive.all() or not positive.any():
        return None
    scores = np.asarray(probabilities, np.float64)[:, c]
    low, high = percentile_interval(_auc(positive, scores, counts.astype(np.float64)))
    return float(_auc(positive, scores, np.ones((1, len(positive))))[0]), low, high


def percentile_interval(values: np.ndarray) -> tuple[float, float]:
    """Compute the 95 % percentile interval of bootstrap values [B]."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def wilson_interval(successes: int, trials: int) -> tuple[float, float] | None:
    """Compute Wilson's 95 % interval of a proportion; None without trials.

    References
    ----------
    Wilson EB. Probable inference, the law of succession, and statistical inference. JASA 22, 1927.
    """
    if trials == 0:
        return None
    z = float(ndtri((1 + LEVEL) / 2))
    share, spread = successes / trials, z * z / trials
    middle = (share + spread / 2) / (1 + spread)
    half = z * np.sqrt(share * (1 - share) / trials + spread / trials / 4) / (1 + spread)
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


def _auc(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of each sample: the weighted share of correctly ordered pairs, ties counted 0.5."""
    above = scores[positive][:, None] - scores[~positive][None, :]
    order = (above > 0) + 0.5 * (above == 0)
    ours, theirs = weights[:, positive], weights[:, ~positive]
    area = ((ours @ order) * theirs).sum(axis=1) / (ours.sum(axis=1) * theirs.sum(axis=1))
    return np.asarray(area)
