"""Runs of a model with three ordered classes."""

import numpy as np

from nephroscale.evaluation.fitted_temperature import FittedTemperature
from nephroscale.evaluation.tables import Predictions
from nephroscale.reporting.metric_values import as_json
from nephroscale.reporting.metrics_json import build_metrics
from nephroscale.reporting.results import FoldResult, ModelResults
from nephroscale.reporting.settings import ReportSettings

CLASSES = ["I", "II", "III"]
PATIENTS = [f"P{n}" for n in range(6)]
LABELS, PREDICTED = [0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 2, 0]


def make_probabilities(predicted, sure=0.8):
    found = np.full((len(predicted), 3), (1 - sure) / 2)
    found[np.arange(len(predicted)), predicted] = sure
    return found


def make_run(patients, labels, predicted, *, fold="0", second=None, temperature=2.0, heads=()):
    both = None if second is None else np.array(second)
    predictions = Predictions(patients, np.array(labels), make_probabilities(predicted), both)
    fitted = FittedTemperature(temperature, patients=3, nll_before=1.0, nll_after=0.9)
    return FoldResult(fold, 1, predictions, temperature=fitted, heads=dict.fromkeys(heads, predictions))


def describe(*runs, **more):
    """Give the metrics of a model as JSON values."""
    models = {"ours": ModelResults("ours", list(runs))}
    metrics = build_metrics(models, CLASSES, ReportSettings(swaps=200), seed=1, **more)
    return as_json(metrics)["models"]["ours"]
