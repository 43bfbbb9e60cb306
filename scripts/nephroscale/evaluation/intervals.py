"""Bootstrap intervals over patients, and Wilson's interval of a proportion.

Bootstrap intervals describe how a metric varies with the patients for the networks as trained. They do not contain the
variation of the training itself, which the spread over folds and seeds shows.

References
----------
Efron B, Tibshirani RJ. An Introduction to the Bootstrap. Chapman & Hall, 1993 (percentile intervals).
"""

from __future__ import annotations

from dataclasses import dataclass
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


Z = float(ndtri((1 + LEVEL) / 2))
PRIOR_INFORMATION = 6.0
"""Number of informative persons, m (1 - m) times their number, at which an estimated variance that is smaller than that
of equally difficult classes counts half."""


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval.

    Attributes
    ----------
    value, low, high
        The figure and the limits.
    effective
        Effective number of persons behind them.
    """

    value: float
    low: float
    high: float
    effective: float


def jackknife_variance(left_out: np.ndarray, strata: np.ndarray) -> float:
    """Compute the variance of a figure by leaving out each person in turn.

    Parameters
    ----------
    left_out
        [P] the figure without each person; NaN where it is not defined then, which is not counted.
    strata
        [P] the class of each person: numbers of persons in the classes are regarded as fixed. A class with one person
        contributes nothing.
    """
    total = 0.0
    for stratum in np.unique(strata):
        values = left_out[(strata == stratum) & np.isfinite(left_out)]
        if (n := len(values)) > 1:
            total += (n - 1) / n * float(((values - values.mean()) ** 2).sum())
    return total


def equal_size(counts: Sequence[float]) -> float:
    """Effective number of persons of a mean over K classes that are equally difficult: K^2 / sum(1 / n_c).

    Parameters
    ----------
    counts
        Persons of each class; classes without a person do not count.
    """
    present = [count for count in counts if count]
    return len(present) ** 2 / sum(1 / count for count in present) if present else 0.0


def pairs_size(positives: Sequence[float], negatives: Sequence[float]) -> float:
    """Effective number of persons of an area under the ROC curve near 1, over the pairs within folds.

    Each fold varies as in Newcombe's method 5 at its limit: A (1 - A) (1 + ((n1 + n0) / 2 - 1) / 2) / (n1 n0).

    Parameters
    ----------
    positives, negatives
        Persons in each fold.
    """
    one, other = np.asarray(positives, float), np.asarray(negatives, float)
    pairs = one * other
    variances = (pairs * (1 + ((one + other) / 2 - 1) / 2)).sum()
    return float(pairs.sum() ** 2 / variances) if variances > 0 else 0.0


def effective_size(share: float, variance: float, equal: float) -> float:
    """Compute the effective number of persons behind a share.

    Parameters
    ----------
    share
        Value in [0, 1].
    variance
        Its variance.
    equal
        Effective number of persons if all classes were equally difficult.

    Returns
    -------
    float
        At least 1. m (1 - m) / variance where this is at most `equal`. Otherwise its reciprocal is a weighted mean of
        both reciprocals, in which the variance has the weight I / (I + :data:`PRIOR_INFORMATION`), I = `equal` m (1 -
        m): none where no error, or nothing but errors, was seen.
    """
    spread = share * (1 - share)
    estimated = variance / spread if spread > 1e-12 else 0.0
    if estimated * equal < 1:
        weight = PRIOR_INFORMATION / (PRIOR_INFORMATION + equal * spread)
        estimated = (1 - weight) * estimated + weight / max(equal, 1.0)
    return max(1.0, 1 / estimated)


def score_interval(value: float, variance: float, equal: float, limits: tuple[float, float] = (0.0, 1.0)) -> Interval:
    """Compute Wilson's 95 % interval of a bounded figure on its effective number of persons.

    Parameters
    ----------
    value
        The figure.
    variance
        Its variance, from :func:`jackknife_variance`, and that between networks.
    equal
        Effective number of persons if all classes were equally difficult, from :func:`equal_size` or
        :func:`pairs_size`; the number of persons for a share of persons.
    limits
        Smallest and largest possible value of the figure.
    """
    lowest, span = limits[0], limits[1] - limits[0]
    share = min(1.0, max(0.0, (value - lowest) / span))
    effective = effective_size(share, variance / span**2, equal)
    low, high = _wilson(share * effective, effective) or (0.0, 1.0)
    return Interval(value, lowest + span * min(low, share), lowest + span * max(high, share), effective)


def _wilson(successes: float, trials: float) -> tuple[float, float] | None:
    """Compute Wilson's 95 % interval of a proportion; None without trials.

    References
    ----------
    Wilson EB. Probable inference, the law of succession, and statistical inference. JASA 22, 1927.
    """
    if trials == 0:
        return None
    share, spread = successes / trials, Z * Z / trials
    middle = (share + spread / 2) / (1 + spread)
    half = Z * np.sqrt(share * (1 - share) / trials + spread / trials / 4) / (1 + spread)
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))
