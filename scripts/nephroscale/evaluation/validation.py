"""Predictions of a trained network for its fold's validation patients, from which its temperature is fitted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nephroscale.evaluation.tables import Predictions, read_heads, read_predictions, write_heads, write_predictions

if TYPE_CHECKING:
    from pathlib import Path

    from nephroscale.training.fold_data import FoldData

FILE_NAME = "validation.csv"
HEADS_FILE_NAME = "validation_heads.csv"


def write_validation_predictions(data: FoldData, weights: Path, device: str = "cpu") -> None:
    """Predict a fold's validation patients by the stored weights, and write the tables beside these.

    Parameters
    ----------
    data
        The fold, and the features of its patients; test patients are not read.
    weights
        Folder with `weights.safetensors` and `model.json`. It gets `validation.csv`, with the columns of
        `predictions.csv`, and, if the network has an ordinal head, `validation_heads.csv`, with those of `heads.csv`.
    device
        `cpu` or `cuda`.
    """
    from nephroscale.evaluation.evaluate import has_soft_labels, stack_predictions
    from nephroscale.evaluation.inference import infer
    from nephroscale.models.weights import load_model
    from nephroscale.training.data import layouts_from
    from nephroscale.training.missing import choose_cases

    network, card = load_model(weights, device)
    bags = data.bags("validation", card.modalities, max_tem_instances=card.max_tem_instances, seed=card.seed)
    bags, _ = choose_cases(bags, card.modalities, network)
    predicted = list(infer(network, bags, layouts_from(card), device=device))
    write_predictions(weights / FILE_NAME, stack_predictions(predicted, soft=has_soft_labels(data)), data.classes)
    write_heads(weights / HEADS_FILE_NAME, {one.bag.patient: one.heads for one in predicted}, data.classes)


def read_validation_predictions(weights: Path, classes: tuple[str, ...], prediction: str = "softmax") -> Predictions:
    """Read the validation predictions of one network.

    Parameters
    ----------
    weights
        Object of the stage `train`.
    classes
        Names of the classes, in the order of their indices.
    prediction
        Output head that is reported: `softmax`, `ordinal`, or `mean`, the mean of their probabilities. For a network
        without an ordinal head it is always the softmax.
    """
    softmax = read_predictions(weights / FILE_NAME, classes)
    ordinal = read_heads(weights / HEADS_FILE_NAME, softmax, classes).get("ordinal")
    if ordinal is None or prediction == "softmax":
        return softmax
    if prediction == "ordinal":
        return ordinal
    return replace(softmax, probabilities=(softmax.probabilities + ordinal.probabilities) / 2)
