"""Metrics of ordered classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nephroscale.evaluation.metrics import ORDINAL_METRICS
from nephroscale.evaluation.networks import estimate_figures
from nephroscale.reporting.metric_values import Estimate
from nephroscale.reporting.model_metrics import OrdinalMetrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.evaluation.networks import Networks
    from nephroscale.reporting.results import ModelResults, Stacked


def summarise_ordinal_model(results: ModelResults, stacked: Stacked, people: Mapping[str, str]) -> OrdinalMetrics:
    """Compute the metrics of ordered classes of a model's single networks, and of each of its output heads.

    Parameters
    ----------
    results
        Results of the model.
    stacked
        Its out-of-fold predictions of the patients with one true class.
    people
        Case to patient, for patients with several biopsies.
    """
    heads = {
        name: estimate_ordinal_metrics(found.of(stacked.cases).networks)
        for name in ("softmax", "ordinal")
        if (found := results.stack_head(name, people)) and set(stacked.cases) <= set(found.cases)
    }
    return OrdinalMetrics(estimate_ordinal_metrics(stacked.networks), heads)


def estimate_ordinal_metrics(networks: Networks) -> dict[str, Estimate]:
    """Compute the metrics of ordered classes with their intervals."""
    figures = estimate_figures(networks, ordered=True)
    return {metric: Estimate.of(figures[metric].interval) for metric in ORDINAL_METRICS}
