"""What is measured on a finished demo run. Only this reads the true outlines."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.calibration_metrics import negative_log_likelihood
from nephroscale.evaluation.metrics import compute_metrics
from nephroscale.evaluation.tables import read_predictions
from nephroscale.glomeruli.contours import read_geojson
from nephroscale.glomeruli.metrics import detection, dice_of_polygons
from nephroscale.glomeruli.outlines import read_outlines

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    Ceilings = Mapping[str, Mapping[str, Mapping[str, float]]]
    """`expected` and `cohort` to subset of modalities to `accuracy` and `log_loss`."""

SINGLE = ("om-only", "im-only", "tem-only")
SUBSETS = {"cmusnet": "TEM+OM+IM", "no-attention": "TEM+OM+IM", "om-only": "OM", "im-only": "IM", "tem-only": "TEM"}
"""Modalities of each model, as ceiling.json names them."""


class Claim(NamedTuple):
    """One measured value and its bound."""

    name: str
    value: float
    bound: float
    at_least: bool = True

    @property
    def holds(self) -> bool:
        """Whether the value is within its bound."""
        return self.value >= self.bound if self.at_least else self.value < self.bound

    def __str__(self) -> str:
        sign = "at least" if self.at_least else "below"
        return f"{'ok  ' if self.holds else 'FAIL'}  {self.name}: {self.value:.3f} ({sign} {self.bound:.2f})"


@dataclass(frozen=True)
class Figures:
    """Out-of-fold figures of a model: each seed's predictions count separately, as single networks."""

    balanced_accuracy: float
    log_loss: float


def measure(results: Path, model: str) -> Figures:
    """Compute the pooled out-of-fold figures of a model."""
    table = results / "folds/folds.json"
    paths = sorted((results / "evaluate" / model).glob("fold*/predictions.csv"))
    if not paths or not table.is_file():
        raise NephroscaleError("There are no predictions to check.", where=str(results), fix="Run the workflow first.")
    classes = json.loads(table.read_text())["classes"]
    found = [read_predictions(path, classes) for path in paths]
    labels = np.concatenate([predictions.labels for predictions in found])
    probabilities = np.concatenate([predictions.probabilities for predictions in found])
    metrics = compute_metrics(labels, probabilities)
    return Figures(
        metrics["balanced_accuracy"].value or 0.0, negative_log_likelihood(probabilities, np.eye(len(classes))[labels])
    )


def segmentation(results: Path, truth: Path) -> tuple[float, float]:
    """Compute the mean Dice over slides and the object F1 over all glomeruli, on slides with true outlines.

    Parameters
    ----------
    results
        Folder of receipts with ``glomeruli/<image>/glomeruli.geojson``.
    truth
        Folder of the true outlines, ``<image>.geojson``.
    """
    dices, matched, found, true = [], 0.0, 0.0, 0.0
    for path in sorted((results / "glomeruli").glob("*/glomeruli.geojson")):
        outline = truth / f"{path.parent.name}.geojson"
        if outline.is_file():
            contours = [glomerulus.polygon for glomerulus in read_geojson(path)]
            outlines = read_outlines(outline).polygons
            counts = detection(contours, outlines)
            matched, found, true = matched + counts["matched"], found + counts["found"], true + counts["true"]
            dices.append(dice_of_polygons(contours, outlines))
    if not dices:
        raise NephroscaleError("There are no contours to check.", where=str(results), fix="Run the workflow first.")
    return float(np.mean(dices)), 2 * matched / (found + true)


def read_ceilings(truth: Path) -> Ceilings:
    """Read the best possible figures of new patients and of the cohort's own cases, by subset of modalities."""
    path = truth / "ceiling.json"
    if not path.is_file():
        raise NephroscaleError(
            "The ceilings of the cohort are not there.", where=str(path), fix="Run `make demo` again."
        )
    found: Ceilings = json.loads(path.read_text(encoding="utf-8"))
    return found
