"""Temperature scaling: one temperature for each model and fold, fitted on the fold's validation patients.

The validation patients of a fold are few, and often all are predicted correctly. Then the likelihood has no optimum: it
grows until the temperature is 0, however well the network is calibrated. So the temperature is the mode of a posterior,
whose prior holds it near 1 unless many patients speak against that.

References
----------
Guo C, Pleiss G, Sun Y, Weinberger KQ. On calibration of modern neural networks. ICML 2017.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.calibration_metrics import FLOOR, apply_temperature
from nephroscale.evaluation.fitted_temperature import FittedTemperature
from nephroscale.evaluation.tables import Predictions

PRIOR_SD = 0.25
"""Standard deviation of the prior of log T, a normal distribution around 0: 95 % of T lie within 0.61 to 1.63."""

LEAST_PATIENTS = 5
"""With fewer validation patients the temperature is 1."""

SEARCHED = (0.05, 20.0)
"""Range in which the optimum is searched; the prior keeps it far from both ends."""


def make_targets(labels: ArrayLike, second: ArrayLike, classes: int) -> np.ndarray:
    """Give target probabilities [n, K]: one-hot, or 0.5 for each of two classes where the second label differs."""
    one, other = (np.eye(classes)[np.asarray(indices, np.int64)] for indices in (labels, second))
    return (one + other) / 2


def weighted_nll(probabilities: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> float:
    """Sum over the rows of -w sum_k t_k log p_k, for probabilities and targets [n, K] and weights [n]."""
    return float(-(weights[:, None] * targets * np.log(np.maximum(probabilities, FLOOR))).sum())


def fit_temperature(probabilities: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Find the temperature at the mode of its posterior.

    The posterior of log T is the likelihood of the targets times a normal density around 0 with the standard deviation
    :data:`PRIOR_SD`.

    Parameters
    ----------
    probabilities, targets
        [n, K], of a fold's validation patients.
    weights
        [n], how many patients a row counts for; 1 each by default.

    Returns
    -------
    float
        To six decimals.
    """
    from scipy.optimize import minimize_scalar

    counts = np.ones(len(targets)) if weights is None else weights

    def loss(log_t: float) -> float:
        scaled = apply_temperature(probabilities, float(np.exp(log_t)))
        return weighted_nll(scaled, targets, counts) + (log_t / PRIOR_SD) ** 2 / 2

    found = minimize_scalar(loss, bounds=np.log(SEARCHED), method="bounded", options={"xatol": 1e-8})
    return round(float(np.exp(found.x)), 6)


def fit_fold_temperature(
    seeds: Sequence[Predictions], classes: int, persons: Mapping[str, str] | None = None
) -> FittedTemperature:
    """Fit the temperature of a model on one fold, over the networks of all its seeds.

    Parameters
    ----------
    seeds
        Predictions for the fold's validation patients, by the network of each seed.
    classes
        Number of classes.
    persons
        Case to patient, for patients with several biopsies. A patient counts once, whatever the number of biopsies and
        seeds.

    Raises
    ------
    NephroscaleError
        When the seeds' networks have predicted different patients.
    """
    first = seeds[0]
    if any(each.patients != first.patients for each in seeds):
        raise NephroscaleError(
            "The networks of different seeds have predicted different validation patients.",
            where="validation.csv of the stage train",
            fix="Train the fold again.",
        )
    people = [(persons or {}).get(case, case) for case in first.patients]
    _, whose, cases = np.unique(people, return_inverse=True, return_counts=True)
    weights = np.tile(1 / (cases[whose] * len(seeds)), len(seeds))
    probabilities = np.concatenate([each.probabilities for each in seeds])
    second = first.labels if first.second is None else first.second
    targets = np.tile(make_targets(first.labels, second, classes), (len(seeds), 1))
    patients = len(cases)
    temperature = fit_temperature(probabilities, targets, weights) if patients >= LEAST_PATIENTS else 1.0
    return FittedTemperature(
        temperature=temperature,
        patients=patients,
        nll_before=round(weighted_nll(probabilities, targets, weights) / patients, 6),
        nll_after=round(weighted_nll(apply_temperature(probabilities, temperature), targets, weights) / patients, 6),
    )
