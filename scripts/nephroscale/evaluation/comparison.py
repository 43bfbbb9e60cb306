"""Paired comparison of models on the same patients, with correction for multiple comparisons.

References
----------
Efron B, Tibshirani RJ. An Introduction to the Bootstrap. Chapman & Hall, 1993, section 15.4 (a test by inverting the
percentile interval). Holm S. A simple sequentially rejective multiple test procedure. Scandinavian Journal of
Statistics 6, 1979.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nephroscale.evaluation.intervals import percentile_interval, resampled_metrics, resampled_ordinal_metrics
from nephroscale.evaluation.metrics import compute_metrics, compute_ordinal_metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

COMPARED_ORDINAL_METRICS = ("quadratic_kappa", "mean_class_error")


class Difference(NamedTuple):
    """Difference of a metric between two models, with its 95 % interval and two-sided p-value."""

    value: float
    low: float
    high: float
    p: float


def paired_differences(
    labels: np.ndarray, ours: np.ndarray, theirs: np.ndarray, counts: np.ndarray, *, ordered: bool = False
) -> dict[str, Difference]:
    """Compare two models on the same bootstrap samples of the same patients.

    Parameters
    ----------
    labels
        [n] class indices.
    ours, theirs
        [n, classes] probabilities of the two models, patients in the same order.
    counts
        [B, n]: how often each patient is in each sample, from
        :func:`nephroscale.evaluation.intervals.resample_counts`, stratified by class.
    ordered
        Whether the classes are ordered: then `COMPARED_ORDINAL_METRICS` are compared, too.

    Returns
    -------
    dict
        Metric to `ours` minus `theirs`, for the metrics that are defined for both.
    """
    (one, first), (other, second) = (_metrics(labels, p, counts, ordered=ordered) for p in (ours, theirs))
    found = {}
    for metric in first:
        mine, yours = one[metric], other[metric]
        differences = first[metric] - second[metric]
        differences = differences[np.isfinite(differences)]  # a kappa is not defined in every sample
        if mine is not None and yours is not None and len(differences):
            found[metric] = Difference(mine - yours, *percentile_interval(differences), bootstrap_p(differences))
    return found


def _metrics(
    labels: np.ndarray, probabilities: np.ndarray, counts: np.ndarray, *, ordered: bool
) -> tuple[dict[str, float | None], dict[str, np.ndarray]]:
    """Metrics of one model, and those of each bootstrap sample."""
    values = {metric: found.value for metric, found in compute_metrics(labels, probabilities).items()}
    samples = dict(resampled_metrics(labels, probabilities, counts))
    if ordered:
        predicted, classes = probabilities.argmax(axis=1), probabilities.shape[1]
        ordinal = compute_ordinal_metrics(labels, predicted, classes)
        resampled = resampled_ordinal_metrics(labels, predicted, classes, counts)
        values |= {metric: ordinal[metric].value for metric in COMPARED_ORDINAL_METRICS}
        samples |= {metric: resampled[metric] for metric in COMPARED_ORDINAL_METRICS}
    return values, samples


def bootstrap_p(differences: np.ndarray) -> float:
    """Compute the two-sided p-value of no difference from bootstrap differences [B]: twice the smaller tail beyond 0.

    The original sample is counted, so that the value is never 0: with B samples it is at least 2 / (B + 1).
    Differences below 1e-12 are rounding errors and count as 0.
    """
    settled = np.where(np.abs(differences) < 1e-12, 0.0, differences)
    tails = (1 + np.array([(settled <= 0).sum(), (settled >= 0).sum()])) / (len(settled) + 1)
    return float(min(1.0, 2 * tails.min()))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjust p-values by Holm's step-down procedure, which controls the family-wise error rate."""
    adjusted: dict[str, float] = {}
    least = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda key: (p_values[key], key))):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = least
    return {name: adjusted[name] for name in p_values}
