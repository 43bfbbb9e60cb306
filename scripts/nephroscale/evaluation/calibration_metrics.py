"""Calibration metrics, and probabilities at a temperature.

References
----------
Guo C, Pleiss G, Sun Y, Weinberger KQ. On calibration of modern neural networks. ICML 2017 (temperature scaling and the
expected calibration error). Brier GW. Verification of forecasts expressed in terms of probability. Monthly Weather
Review 78, 1950.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nephroscale.evaluation.intervals import wilson_interval

BINS = 10
FLOOR = 1e-9
"""Lower limit of a probability before its logarithm is taken: tables store eight decimals."""


@dataclass(frozen=True)
class ReliabilityBin:
    """One bin of a reliability diagram.

    Attributes
    ----------
    patients
        Number of patients in the bin.
    confidence
        Mean probability of the predicted class.
    accuracy
        Share of correct predictions.
    low, high
        Wilson's 95 % interval of the accuracy.
    """

    patients: int
    confidence: float
    accuracy: float
    low: float
    high: float


class CalibrationMetrics(NamedTuple):
    """Calibration of class probabilities; 0 is perfect for each metric.

    Attributes
    ----------
    ece
        Expected calibration error of the predicted class, over ten bins of equal width.
    brier
        Mean squared distance between the probabilities and the true class, 0 to 2.
    nll
        Mean negative log-likelihood.
    """

    ece: float
    brier: float
    nll: float


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Soften (T > 1) or sharpen (T < 1) probabilities [..., K]: softmax(z / T), since log p is z up to a constant."""
    logs = np.log(np.maximum(np.asarray(probabilities, np.float64), FLOOR)) / temperature
    logs -= logs.max(axis=-1, keepdims=True)
    powers = np.exp(logs)
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def negative_log_likelihood(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Mean over the patients of -sum_k t_k log p_k, for probabilities and targets [n, K]."""
    return float(-(targets * np.log(np.maximum(probabilities, FLOOR))).sum(axis=1).mean())


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> list[ReliabilityBin]:
    """Sort patients by the probability of their predicted class into bins of equal width; empty bins are left out."""
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins = []
    for b in np.unique(place):
        inside = place == b
        n, hits = int(inside.sum()), int(correct[inside].sum())
        low, high = wilson_interval(hits, n) or (0.0, 1.0)
        bins.append(ReliabilityBin(n, float(confidence[inside].mean()), hits / n, low, high))
    return bins


def measure_calibration(labels: np.ndarray, probabilities: np.ndarray) -> CalibrationMetrics:
    """Compute the expected calibration error, the Brier score and the negative log-likelihood.

    Parameters
    ----------
    labels
        [n] class indices.
    probabilities
        [n, K].
    """
    targets = np.eye(probabilities.shape[1])[labels]
    gaps = sum(b.patients * abs(b.accuracy - b.confidence) for b in reliability(labels, probabilities))
    return CalibrationMetrics(
        ece=float(gaps / len(labels)),
        brier=float(((probabilities - targets) ** 2).sum(axis=1).mean()),
        nll=negative_log_likelihood(probabilities, targets),
    )


class ExpectedError(NamedTuple):
    """Mean and 95 % quantile of the expected calibration error of perfectly calibrated probabilities."""

    mean: float
    upper: float


def expect_calibration_error(probabilities: np.ndarray, draws: int = 1000, seed: int = 0) -> ExpectedError:
    """Simulate the expected calibration error that these probabilities would show if they were perfectly calibrated.

    With few patients it is far from 0: the classes are drawn by the probabilities themselves.

    Parameters
    ----------
    probabilities
        [n, K].
    draws, seed
        Number of simulated cohorts, and seed.
    """
    confidence, n = probabilities.max(axis=1), len(probabilities)
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins = np.eye(BINS)[place]
    hits = np.random.default_rng(seed).random((draws, n)) < confidence
    errors = np.abs((hits - confidence) @ bins).sum(axis=1) / n
    return ExpectedError(float(errors.mean()), float(np.quantile(errors, 0.95)))
