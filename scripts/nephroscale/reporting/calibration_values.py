"""Calibration of a model as `metrics.json` and the page have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nephroscale.evaluation.calibration_metrics import ReliabilityBin
    from nephroscale.reporting.metric_values import Estimate


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
