"""Scores of glomeruli as probabilities, fitted to outlines that were held out of the training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

MIN_OUTLINES = 30  # from fewer held-out outlines scores are not calibrated
EDGE = 1e-3  # scores nearer to 0 or 1 are moved to this distance, so that their log-odds are finite
DIGITS = 3


class ScoreCalibration(NamedTuple):
    """A calibrated score has `slope` times the log-odds of the score, plus `intercept`."""

    slope: float
    intercept: float

    def apply(self, score: float) -> float:
        """Turn a score from 0 to 1 into the probability that the outline is one that a person draws."""
        return 1 / (1 + math.exp(-(self.slope * _log_odds(score) + self.intercept)))


def fit_calibration(scores: Sequence[float], hits: Sequence[bool], outlines: int) -> ScoreCalibration | None:
    """Fit the calibration to contours in held-out slides; None where there are too few outlines.

    The slope has a normal prior around 1 with a standard deviation of 1, because there may be no false contour at all.

    Parameters
    ----------
    scores
        Of the contours.
    hits
        Whether each matches an outline.
    outlines
        Number of outlines in these slides.

    References
    ----------
    Platt, "Probabilistic outputs for support vector machines", Advances in large margin classifiers (1999), also for
    the targets, which are not quite 0 and 1.
    """
    true = sum(hits)
    if outlines < MIN_OUTLINES or not true:
        return None
    x = np.array([_log_odds(score) for score in scores])
    target = np.where(np.array(hits, bool), (true + 1) / (true + 2), 1 / (len(scores) - true + 2))

    def cost(parameters: np.ndarray) -> float:
        z = parameters[0] * x + parameters[1]
        return float((np.logaddexp(0, z) - target * z).sum() + 0.5 * (parameters[0] - 1) ** 2)

    slope, intercept = minimize(cost, np.array([1.0, 0.0]), method="BFGS").x.tolist()
    return ScoreCalibration(round(slope, DIGITS), round(intercept, DIGITS)) if slope > 0 else None


def _log_odds(score: float) -> float:
    bounded = min(max(score, EDGE), 1 - EDGE)
    return math.log(bounded / (1 - bounded))
