"""Calibration slope and intercept of each class, by penalised likelihood.

With few patients, or with classes that are separated perfectly, the likelihood of a logistic regression has no optimum.
Firth's penalty gives one, and removes the bias of first order.

References
----------
Cox DR. Two further applications of a model for binary regression. Biometrika 45, 1958. Van Calster B et al.
Calibration: the Achilles heel of predictive analytics. BMC Medicine 17, 2019. Firth D. Bias reduction of maximum
likelihood estimates. Biometrika 80, 1993. Heinze G, Schemper M. A solution to the problem of separation in logistic
regression. Statistics in Medicine 21, 2002.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nephroscale.evaluation.calibration_metrics import FLOOR
from nephroscale.evaluation.intervals import Z

LEAST_PATIENTS = 5
"""With fewer patients of the class, or of the others, nothing is estimated."""


@dataclass(frozen=True)
class Coefficient:
    """A coefficient with Wald's 95 % interval from the penalised fit."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Recalibration:
    """How the predicted probability of a class relates to its observed frequency.

    Attributes
    ----------
    slope
        Change of the observed log odds per unit of the predicted log odds: 1 is perfect, less is too extreme.
    intercept
        Observed minus predicted log odds at slope 1 (calibration in the large): 0 is perfect, less is too high.
    """

    slope: Coefficient
    intercept: Coefficient


def fit_firth(
    design: np.ndarray, outcome: np.ndarray, weights: np.ndarray | None = None, offset: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Fit a logistic regression by Firth's penalised likelihood.

    Parameters
    ----------
    design
        [n, p].
    outcome
        [n] 0 or 1.
    weights, offset
        [n]; 1 and 0 by default.

    Returns
    -------
    tuple or None
        Coefficients [p] and covariance [p, p]; None where the columns are dependent or the fit does not converge.
    """
    counts = np.ones(len(outcome)) if weights is None else weights
    known = np.zeros(len(outcome)) if offset is None else offset
    beta = np.zeros(design.shape[1])
    for _ in range(200):
        p = 1 / (1 + np.exp(-np.clip(design @ beta + known, -30, 30)))
        w = counts * p * (1 - p)
        information = design.T @ (w[:, None] * design)
        if np.linalg.cond(information) > 1e12:
            return None
        covariance = np.linalg.inv(information)
        leverage = w * ((design @ covariance) * design).sum(axis=1)
        step = covariance @ (design.T @ (counts * (outcome - p) + leverage * (0.5 - p)))
        step /= max(1.0, float(np.abs(step).max()))
        beta = beta + step
        if np.abs(step).max() < 1e-9:
            return beta, covariance
    return None


def recalibrate(positive: np.ndarray, scores: np.ndarray, people: np.ndarray) -> Recalibration | None:
    """Estimate slope and intercept of a class's probabilities.

    Parameters
    ----------
    positive
        [n] bool: cases of the class.
    scores
        [n] its probabilities.
    people
        [n] person of each case; a person counts once, whatever the number of biopsies.

    Returns
    -------
    Recalibration or None
        None where they are not estimable: with few patients, or where the probabilities separate the class perfectly.
        The penalty alone would decide then.
    """
    persons = [len(np.unique(people[chosen])) for chosen in (positive, ~positive)]
    if min(persons) < LEAST_PATIENTS or scores[positive].min() > scores[~positive].max():
        return None
    _, whose, cases = np.unique(people, return_inverse=True, return_counts=True)
    weights, outcome = 1 / cases[whose], positive.astype(float)
    odds = np.log(np.clip(scores, FLOOR, 1)) - np.log(np.clip(1 - scores, FLOOR, 1))
    line = fit_firth(np.stack([np.ones(len(odds)), odds], axis=1), outcome, weights)
    level = fit_firth(np.ones((len(odds), 1)), outcome, weights, odds)
    return None if line is None or level is None else Recalibration(_coefficient(line, 1), _coefficient(level, 0))


def _coefficient(fit: tuple[np.ndarray, np.ndarray], place: int) -> Coefficient:
    value, half = float(fit[0][place]), Z * float(np.sqrt(fit[1][place, place]))
    return Coefficient(value, value - half, value + half)
