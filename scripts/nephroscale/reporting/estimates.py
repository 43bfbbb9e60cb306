"""Figures of networks, rounded for the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nephroscale.evaluation.metrics import ORDINAL_METRICS
from nephroscale.evaluation.networks import Networks, Samples, estimate_figures, summarise
from nephroscale.reporting.metric_values import Estimate
from nephroscale.reporting.report_metrics import OrdinalMetrics, PredictiveValues

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nephroscale.reporting.results import ModelResults, Stacked


def estimate_metrics(networks: Networks) -> dict[str, Estimate]:
    """Compute each metric of unordered classes with its 95 % interval."""
    return {metric: Estimate.of(found.interval) for metric, found in estimate_figures(networks).items()}


def estimate_predictive_values(
    networks: Networks, classes: Sequence[str], prevalences: Mapping[str, float]
) -> dict[str, PredictiveValues]:
    """Compute the positive and negative predictive value of each class where the classes have stated prevalences.

    With the share R_jc of class j that is predicted as c, and prevalence w_j, the positive predictive value is w_c R_cc
    / sum_j w_j R_jc, and the negative one sum_{j != c} w_j (1 - R_jc) / sum_j w_j (1 - R_jc).

    Parameters
    ----------
    networks
        The predictions.
    classes
        Names of the classes, in the order of their indices.
    prevalences
        Class to its prevalence; empty where none are stated.
    """
    if not prevalences:
        return {}
    each = networks.person_confusions()
    total = each.sum(axis=1)
    with np.errstate(invalid="ignore"):
        rates = [m / m.sum(axis=-1, keepdims=True) for m in (total, total[:, None] - each)]
    shares = np.array([prevalences[name] for name in classes])
    persons = np.maximum(networks.effective_persons()[1], 1)
    found = {}
    for c, name in enumerate(classes):
        others, ratio = np.arange(len(classes)) != c, shares / max(shares[c], 1e-9)
        odds = shares[c] / max(1 - shares[c], 1e-9)
        # Effective numbers near 1, where all classes are equally difficult, from the variance of the linear terms.
        sizes = (
            ratio[others].sum() / max((ratio[others] ** 2 / persons[others]).sum(), 1e-9),
            persons[c] / max(odds, 1e-9),
        )
        values = [_predictive_values(rate, shares, c) for rate in rates]
        ppv, npv = (
            Estimate.of(summarise(networks, Samples(values[0][k], values[1][k]), float(sizes[k])).interval)
            for k in range(2)
        )
        found[name] = PredictiveValues(float(shares[c]), ppv, npv)
    return found


def _predictive_values(rates: np.ndarray, shares: np.ndarray, c: int) -> tuple[np.ndarray, np.ndarray]:
    """Positive and negative predictive value [...] of class `c` from shares predicted as each class [..., K, K]."""
    positive, negative = shares * rates[..., :, c], shares * (1 - rates[..., :, c])
    others = np.arange(len(shares)) != c
    with np.errstate(invalid="ignore", divide="ignore"):
        return (
            positive[..., c] / positive.sum(axis=-1),
            negative[..., others].sum(axis=-1) / negative.sum(axis=-1),
        )


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
