"""Metrics of ordered classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nephroscale.evaluation.intervals import percentile_interval, resampled_ordinal_metrics
from nephroscale.evaluation.metrics import ORDINAL_METRICS, compute_ordinal_metrics
from nephroscale.reporting.report_metrics import Estimate, OrdinalMetrics

if TYPE_CHECKING:
    from nephroscale.evaluation.tables import Predictions
    from nephroscale.reporting.results import ModelResults


def summarise_ordinal_model(
    results: ModelResults, pooled: Predictions, classes: int, counts: np.ndarray
) -> OrdinalMetrics:
    """Compute the metrics of ordered classes of a model and of each of its output heads.

    Parameters
    ----------
    results
        Results of the model.
    pooled
        Its out-of-fold predictions of the patients with one true class.
    classes
        Number of classes.
    counts
        [B, n]: how often each of these patients is in each bootstrap sample.
    """
    heads = {
        name: estimate_ordinal_metrics(found.of(pooled.patients), classes, counts)
        for name in ("softmax", "ordinal")
        if (found := results.of_head(name)) and set(pooled.patients) <= set(found.patients)
    }
    return OrdinalMetrics(estimate_ordinal_metrics(pooled, classes, counts), heads)


def estimate_ordinal_metrics(predictions: Predictions, classes: int, counts: np.ndarray) -> dict[str, Estimate]:
    """Compute the metrics of ordered classes with their intervals, over the samples in which kappa is defined."""
    predicted = predictions.probabilities.argmax(axis=1)
    values = compute_ordinal_metrics(predictions.labels, predicted, classes)
    samples = resampled_ordinal_metrics(predictions.labels, predicted, classes, counts)
    estimates = {}
    for metric in ORDINAL_METRICS:
        defined = samples[metric][np.isfinite(samples[metric])]
        estimates[metric] = Estimate.of(values[metric].value, percentile_interval(defined) if len(defined) else None)
    return estimates
