"""Figures of ordered classes, of what is reported and of each head by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nephroscale.evaluation.intervals import percentile_interval, resampled_ordinal_metrics
from nephroscale.evaluation.metrics import ORDINAL_METRICS, compute_ordinal_metrics
from nephroscale.reporting.rounding import rounded

if TYPE_CHECKING:
    from nephroscale.evaluation.tables import Predictions
    from nephroscale.reporting.results import ModelResults


def describe_stages(results: ModelResults, pooled: Predictions, classes: int, counts: np.ndarray) -> dict[str, Any]:
    """Describe how far a model's stages are from the true ones.

    Parameters
    ----------
    results
        Of the model.
    pooled
        Its out-of-fold predictions of patients with one true stage.
    classes
        Number of stages.
    counts
        [B, n]: how often each of these patients is in each bootstrap sample.

    Returns
    -------
    dict
        Each of `ORDINAL_METRICS` with `value`, `low`, `high`; `heads`, the same of the softmax and the ordinal head
        where the network has both.
    """
    heads = {
        name: of_patients(found.of(pooled.patients), classes, counts)
        for name in ("softmax", "ordinal")
        if (found := results.of_head(name)) and set(pooled.patients) <= set(found.patients)
    }
    return {**of_patients(pooled, classes, counts), "heads": heads}


def of_patients(predictions: Predictions, classes: int, counts: np.ndarray) -> dict[str, Any]:
    """Give the figures of merit of ordered classes with their intervals; samples without a kappa are passed over."""
    predicted = predictions.probabilities.argmax(axis=1)
    values = compute_ordinal_metrics(predictions.labels, predicted, classes)
    samples = resampled_ordinal_metrics(predictions.labels, predicted, classes, counts)
    described = {}
    for metric in ORDINAL_METRICS:
        drawn = samples[metric][np.isfinite(samples[metric])]
        low, high = percentile_interval(drawn) if len(drawn) else (None, None)
        described[metric] = {"value": rounded(values[metric].value), "low": rounded(low), "high": rounded(high)}
    return described
