"""Calibration before and after temperature scaling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nephroscale.evaluation.calibration_metrics import measure_calibration, reliability
from nephroscale.reporting.report_metrics import Bin, Calibration, ModelCalibration
from nephroscale.reporting.rounding import rounded

if TYPE_CHECKING:
    from nephroscale.evaluation.tables import Predictions
    from nephroscale.reporting.results import ModelResults


def summarise_model_calibration(results: ModelResults) -> ModelCalibration | None:
    """Measure a model's calibration on its test folds; None where not every run has a temperature.

    Parameters
    ----------
    results
        Results of the model. The test predictions of each run are scaled by the temperature that was fitted on the
        fold's validation patients, then averaged over seeds and pooled over folds.
    """
    before, after = results.pooled, results.calibrated
    fitted = {run.fold: run.temperature.temperature for run in results.runs if run.predictions and run.temperature}
    temperatures = sorted(fitted.values())
    if before is None or after is None or not temperatures:
        return None
    return ModelCalibration(
        before=summarise_calibration(before.certain),
        after=summarise_calibration(after.certain),
        temperatures=(
            rounded(temperatures[0]),
            rounded(temperatures[len(temperatures) // 2]),
            rounded(temperatures[-1]),
        ),
    )


def summarise_calibration(predictions: Predictions) -> Calibration:
    """Compute the calibration metrics and the bins of the reliability diagram, rounded."""
    labels, probabilities = predictions.labels, predictions.probabilities
    metrics = measure_calibration(labels, probabilities)
    bins = [
        Bin(b.patients, rounded(b.confidence), rounded(b.accuracy), rounded(b.low), rounded(b.high))
        for b in reliability(labels, probabilities)
    ]
    return Calibration(rounded(metrics.ece), rounded(metrics.brier), rounded(metrics.nll), bins)
