"""Metrics of pooled predictions with bootstrap intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nephroscale.evaluation.intervals import percentile_interval, resampled_metrics
from nephroscale.evaluation.metrics import METRICS, compute_metrics
from nephroscale.reporting.report_metrics import Estimate

if TYPE_CHECKING:
    import numpy as np

    from nephroscale.evaluation.tables import Predictions


def estimate_metrics(predictions: Predictions, counts: np.ndarray) -> dict[str, Estimate]:
    """Compute each metric with its 95 % interval.

    Parameters
    ----------
    predictions
        Predictions of n patients with one true class.
    counts
        [B, n]: how often each patient is in each bootstrap sample.
    """
    samples = resampled_metrics(predictions.labels, predictions.probabilities, counts)
    values = compute_metrics(predictions.labels, predictions.probabilities)
    return {
        metric: Estimate.of(values[metric].value, percentile_interval(samples[metric]) if metric in samples else None)
        for metric in METRICS
    }
