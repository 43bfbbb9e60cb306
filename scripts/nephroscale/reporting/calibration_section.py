"""How well probabilities come true, before and after each run's temperature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nephroscale.evaluation.calibration_metrics import measure_calibration, reliability
from nephroscale.reporting.rounding import rounded

if TYPE_CHECKING:
    import numpy as np

    from nephroscale.reporting.results import ModelResults


def describe_calibration(results: ModelResults) -> dict[str, Any] | None:
    """Measure a model's calibration on its test folds; None where temperatures were not fitted.

    Parameters
    ----------
    results
        Of the model. Each run's test predictions are tempered by the temperature that was fitted on the same run's
        validation patients, then averaged over seeds and pooled over folds.

    Returns
    -------
    dict
        `before` and `after`, of each `ece`, `brier`, `nll` and the `bins` of the reliability diagram; `temperatures`
        (least, median, largest) and `at_bound`, how many could go no further.
    """
    before, after = results.pooled, results.tempered
    found = sorted(run.calibration["temperature"] for run in results.runs if run.predictions and run.calibration)
    if before is None or after is None or not found:
        return None
    return {
        "before": describe(before.certain.labels, before.certain.probabilities),
        "after": describe(after.certain.labels, after.certain.probabilities),
        "temperatures": [rounded(found[0]), rounded(found[len(found) // 2]), rounded(found[-1])],
        "at_bound": sum(bool(run.calibration and run.calibration["at_bound"]) for run in results.runs),
    }


def describe(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """Give the figures and the bins of some predictions, rounded."""
    figures = {name: rounded(value) for name, value in measure_calibration(labels, probabilities).items()}
    bins = [
        {name: rounded(value) if isinstance(value, float) else value for name, value in entry.items()}
        for entry in reliability(labels, probabilities)
    ]
    return {**figures, "bins": bins}
