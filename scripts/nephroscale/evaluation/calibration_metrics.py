"""Whether a probability of 0.8 comes true in 8 cases of 10, and a temperature that mends it where it does not.

References
----------
Guo C, Pleiss G, Sun Y, Weinberger KQ. On calibration of modern neural networks. ICML 2017 (temperature scaling and the
expected calibration error). Brier GW. Verification of forecasts expressed in terms of probability. Monthly Weather
Review 78, 1950.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize_scalar

from nephroscale.evaluation.intervals import wilson_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

BOUNDS = (0.5, 10.0)
"""Temperatures that are allowed: a few patients who are all predicted rightly would ask for 0."""

BINS = 10
FLOOR = 1e-9
"""Least probability that is tempered: tables hold eight decimals."""


def temper(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Soften (T > 1) or sharpen (T < 1) probabilities [..., K]: softmax(z / T), since log p is z up to a constant."""
    logs = np.log(np.maximum(np.asarray(probabilities, np.float64), FLOOR)) / temperature
    logs -= logs.max(axis=-1, keepdims=True)
    powers = np.exp(logs)
    return powers / powers.sum(axis=-1, keepdims=True)


def negative_log_likelihood(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Mean over the patients of -sum_k t_k log p_k, for probabilities and targets [n, K]."""
    return float(-(targets * np.log(np.maximum(probabilities, FLOOR))).sum(axis=1).mean())


def make_targets(labels: Sequence[int], second: Sequence[int], classes: int) -> np.ndarray:
    """Give each patient's class [n, K], half and half where the second label is another than the first."""
    one, other = (np.eye(classes)[np.asarray(found, np.int64)] for found in (labels, second))
    return (one + other) / 2


def fit_temperature(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Find the temperature with the least negative log-likelihood.

    Parameters
    ----------
    probabilities, targets
        [n, K] of a fold's validation patients.

    Returns
    -------
    float
        Within `BOUNDS`, to six decimals. The likelihood is concave in 1 / T, so there is one optimum.
    """
    low, high = np.log(BOUNDS)
    found = minimize_scalar(
        lambda log_t: negative_log_likelihood(temper(probabilities, float(np.exp(log_t))), targets),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-7},
    )
    # The bounded search never tries its bounds themselves.
    candidates = [float(low), float(found.x), float(high)]
    losses = [negative_log_likelihood(temper(probabilities, float(np.exp(x))), targets) for x in candidates]
    return round(float(np.exp(candidates[int(np.argmin(losses))])), 6)


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> list[dict[str, Any]]:
    """Sort patients by the probability of their predicted class into bins of equal width.

    Returns
    -------
    list of dict
        For each bin that somebody is in: `patients`, `confidence` (mean probability), `accuracy`, and Wilson's
        interval of the accuracy, `low` and `high`.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    found = []
    for b in np.unique(place):
        inside = place == b
        n, hits = int(inside.sum()), int(right[inside].sum())
        low, high = wilson_interval(hits, n) or (0.0, 1.0)
        found.append(
            {
                "patients": n,
                "confidence": float(confidence[inside].mean()),
                "accuracy": hits / n,
                "low": low,
                "high": high,
            }
        )
    return found


def measure_calibration(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Measure how far probabilities are from what comes true; for all three figures 0 is perfect.

    Parameters
    ----------
    labels
        [n] class indices.
    probabilities
        [n, K].

    Returns
    -------
    dict
        `ece`, the expected calibration error of the predicted class over ten bins of equal width; `brier`, the mean
        squared distance of the probabilities to the true class, 0 to 2; `nll`, the mean negative log-likelihood.
    """
    labels, probabilities = np.asarray(labels, np.int64), np.asarray(probabilities, np.float64)
    targets = np.eye(probabilities.shape[1])[labels]
    bins = reliability(labels, probabilities)
    gaps = sum(b["patients"] * abs(b["accuracy"] - b["confidence"]) for b in bins)
    return {
        "ece": float(gaps / len(labels)),
        "brier": float(((probabilities - targets) ** 2).sum(axis=1).mean()),
        "nll": negative_log_likelihood(probabilities, targets),
    }
