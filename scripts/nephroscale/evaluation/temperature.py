"""Temperature scaling of a trained model, fitted on its fold's validation patients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nephroscale.errors import Rejected
from nephroscale.evaluation.calibration_metrics import (
    BOUNDS,
    apply_temperature,
    fit_temperature,
    make_targets,
    negative_log_likelihood,
)
from nephroscale.evaluation.evaluate import check_match, has_soft_labels, stack_predictions
from nephroscale.evaluation.fitted_temperature import FittedTemperature, write_temperature
from nephroscale.evaluation.inference import infer
from nephroscale.evaluation.tables import write_predictions
from nephroscale.models.weights import load_model
from nephroscale.training.data import layouts_from
from nephroscale.training.missing import choose_cases

if TYPE_CHECKING:
    from pathlib import Path

    from nephroscale.training.fold_data import FoldData


def fit_fold_temperature(
    data: FoldData, weights: Path, out: Path, device: str = "cpu", prediction: str = "softmax"
) -> FittedTemperature:
    """Fit the temperature of a trained model on the fold's validation patients; test patients are not read.

    Parameters
    ----------
    data
        The fold, and the features of its patients.
    weights
        Object of the stage `train`.
    out
        Folder to create: `temperature.json`, and `validation.csv`, the predictions before temperature scaling.
    device
        `cpu` or `cuda`.
    prediction
        Output head that is reported, and therefore calibrated.

    Raises
    ------
    Rejected
        When no validation patient has the modalities that the network requires.
    """
    network, card = load_model(weights, device)
    check_match(card, data)
    bags = data.bags("validation", card.modalities, max_tem_instances=card.max_tem_instances, seed=card.seed)
    bags, _ = choose_cases(bags, card.modalities, network)
    if not bags:
        raise Rejected("no validation patient has all modalities that the model requires")
    predicted = list(infer(network, bags, layouts_from(card), prediction, device))
    predictions = stack_predictions(predicted, soft=has_soft_labels(data))
    labels, probabilities = predictions.labels, predictions.probabilities
    second = labels if predictions.second is None else predictions.second
    targets = make_targets(labels, second, len(data.classes))
    temperature = fit_temperature(probabilities, targets)
    fitted = FittedTemperature(
        temperature=temperature,
        at_bound=bool(min(abs(np.log(temperature / bound)) for bound in BOUNDS) < 1e-4),
        patients=len(bags),
        nll_before=round(negative_log_likelihood(probabilities, targets), 6),
        nll_after=round(negative_log_likelihood(apply_temperature(probabilities, temperature), targets), 6),
    )
    out.mkdir(parents=True)
    write_temperature(out, fitted)
    write_predictions(out / "validation.csv", predictions, data.classes)
    return fitted
