"""Calibration before and after temperature scaling, as `metrics.json` and the page have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nephroscale.evaluation.calibration_metrics import (
    ReliabilityBin,
    expect_calibration_error,
    measure_calibration,
    reliability,
)
from nephroscale.evaluation.recalibration import recalibrate
from nephroscale.reporting.metric_values import Estimate, rounded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.evaluation.tables import Predictions
    from nephroscale.reporting.results import ModelResults


@dataclass(frozen=True)
class Slope:
    """Calibration slope and intercept of a class, see :class:`nephroscale.evaluation.recalibration.Recalibration`.

    None where they are not estimable.
    """

    slope: Estimate
    intercept: Estimate


@dataclass(frozen=True)
class Calibration:
    """Calibration metrics, see :class:`nephroscale.evaluation.calibration_metrics.CalibrationMetrics`.

    `ece_expected` and `ece_upper` are the mean and the 95 % quantile of the expected calibration error that perfectly
    calibrated probabilities would show, `slopes` the calibration slope and intercept of each class.
    """

    ece: float
    ece_expected: float
    ece_upper: float
    brier: float
    nll: float
    slopes: list[Slope | None]
    bins: list[ReliabilityBin]


@dataclass(frozen=True)
class TemperatureScaling:
    """Calibration before and after temperature scaling."""

    before: Calibration
    after: Calibration


@dataclass(frozen=True)
class ModelCalibration(TemperatureScaling):
    """Calibration of a model on its test folds.

    `temperatures` are the minimum, median and maximum over the folds.
    """

    temperatures: tuple[float, float, float]


def summarise_model_calibration(results: ModelResults, people: Mapping[str, str]) -> ModelCalibration | None:
    """Measure a model's calibration on its test folds; None where not every run has a temperature.

    Parameters
    ----------
    results
        Results of the model. The test predictions of each run are scaled by the temperature that was fitted on the
        fold's validation patients, then averaged over seeds and pooled over folds.
    people
        Case to patient, for patients with several biopsies.
    """
    before, after = results.pooled, results.calibrated
    fitted = {run.fold: run.temperature.temperature for run in results.runs if run.predictions and run.temperature}
    temperatures = sorted(fitted.values())
    if before is None or after is None or not temperatures:
        return None
    return ModelCalibration(
        before=summarise_calibration(before.certain, people),
        after=summarise_calibration(after.certain, people),
        temperatures=(
            rounded(temperatures[0]),
            rounded(temperatures[len(temperatures) // 2]),
            rounded(temperatures[-1]),
        ),
    )


def summarise_calibration(predictions: Predictions, people: Mapping[str, str]) -> Calibration:
    """Compute the calibration metrics and the bins of the reliability diagram, rounded."""
    labels, probabilities = predictions.labels, predictions.probabilities
    metrics, expected = measure_calibration(labels, probabilities), expect_calibration_error(probabilities)
    persons = np.array([people.get(case, case) for case in predictions.patients])
    return Calibration(
        ece=rounded(metrics.ece),
        ece_expected=rounded(expected.mean),
        ece_upper=rounded(expected.upper),
        brier=rounded(metrics.brier),
        nll=rounded(metrics.nll),
        slopes=[
            Slope(Estimate.of(fit.slope), Estimate.of(fit.intercept)) if fit else None
            for fit in (recalibrate(labels == c, scores, persons) for c, scores in enumerate(probabilities.T))
        ],
        bins=[
            ReliabilityBin(b.patients, *map(rounded, (b.confidence, b.accuracy, b.low, b.high)))
            for b in reliability(labels, probabilities)
        ],
    )
