"""Tables of predictions for TEM images, and the weight that joins both systems."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nephroscale.deposits.svm import log_loss

FILE, WEIGHT, HEAT = "predictions.csv", "weight.json", "heat.zarr"
_IDS = ("image_id", "patient_id", "deposits")


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image.

    Attributes
    ----------
    image, patient
        Ids.
    label
        Whether it shows deposits; None where nobody read it.
    probabilities
        Variant to probability of deposits.
    """

    image: str
    patient: str
    label: bool | None
    probabilities: dict[str, float]


def write_predictions(folder: Path, rows: Sequence[Prediction]) -> None:
    """Write ``predictions.csv``: one row for each image, one column for each variant."""
    with (folder / FILE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        variants = list(rows[0].probabilities) if rows else []
        writer.writerow([*_IDS, *variants])
        for row in rows:
            label = "" if row.label is None else int(row.label)
            writer.writerow([row.image, row.patient, label, *(f"{row.probabilities[v]:.6f}" for v in variants)])


def read_predictions(folder: Path) -> list[Prediction]:
    """Read ``predictions.csv``."""
    with (folder / FILE).open(encoding="utf-8", newline="") as file:
        return [
            Prediction(
                row["image_id"],
                row["patient_id"],
                None if row["deposits"] == "" else row["deposits"] == "1",
                {name: float(cell) for name, cell in row.items() if name not in _IDS},
            )
            for row in csv.DictReader(file)
        ]


def write_weight(folder: Path, weight: float | None) -> None:
    """Write the weight of the plain network in the combination."""
    (folder / WEIGHT).write_text(json.dumps({"plain": weight}) + "\n", encoding="utf-8")


def read_weight(folder: Path) -> float | None:
    """Read the weight of the plain network in the combination."""
    weight: float | None = json.loads((folder / WEIGHT).read_text(encoding="utf-8"))["plain"]
    return weight


def choose_weight(labels: np.ndarray, plain: np.ndarray, svm: np.ndarray) -> float:
    """Choose the weight of the plain network, 0 to 1 in steps of 0.05, by the lowest log loss.

    Of weights within 1e-6 nats the one nearest to a half is taken.

    Parameters
    ----------
    labels
        [n] bool.
    plain, svm
        [n] probabilities of both systems.
    """
    weights = np.arange(21) / 20
    losses = np.array([log_loss(labels, w * plain + (1 - w) * svm) for w in weights])
    best = weights[losses <= losses.min() + 1e-6]
    return float(best[np.argmin(np.abs(best - 0.5))])
