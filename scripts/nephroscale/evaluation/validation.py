"""Predictions of a trained network for its fold's validation patients, from which its temperature is fitted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from nephroscale.evaluation.tables import Predictions, read_heads, read_predictions

VALIDATION = "validation.csv"
VALIDATION_HEADS = "validation_heads.csv"


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
    softmax = read_predictions(weights / VALIDATION, classes)
    ordinal = read_heads(weights / VALIDATION_HEADS, softmax, classes).get("ordinal")
    if ordinal is None or prediction == "softmax":
        return softmax
    if prediction == "ordinal":
        return ordinal
    return replace(softmax, probabilities=(softmax.probabilities + ordinal.probabilities) / 2)
