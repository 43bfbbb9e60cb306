"""The tables that an evaluation leaves: written the same way each time, read back with their types."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

INSTANCE_COLUMNS = ("patient_id", "image_id", "index", "kept", "centre", "weight", "distance")
POOLING_COLUMNS = ("patient_id", "modality", "image_id", "index", "slot", "state", "weight")


@dataclass(frozen=True)
class Predictions:
    """What a network said of its test patients.

    Attributes
    ----------
    patients
        Patient ids.
    labels
        [n] int64 true class indices.
    probabilities
        [n, classes] float64.
    """

    patients: list[str]
    labels: np.ndarray
    probabilities: np.ndarray

    def of(self, patients: Collection[str]) -> Predictions:
        """Give the predictions of some patients alone, in the order they have here."""
        wanted = set(patients)
        kept = [i for i, patient in enumerate(self.patients) if patient in wanted]
        return Predictions([self.patients[i] for i in kept], self.labels[kept], self.probabilities[kept])


def number(value: float) -> str:
    """Write a number with eight decimals, enough for any use and the same each time; no minus before zero."""
    return f"{round(float(value), 8) + 0.0:.8f}"


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as CSV, UTF-8, one line end for all."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def write_predictions(path: Path, predictions: Predictions, classes: Sequence[str]) -> None:
    """Write `predictions.csv`: `patient_id,label,predicted,p_<class>...`, classes by their names."""
    rows = [
        {
            "patient_id": patient,
            "label": classes[int(label)],
            "predicted": classes[int(chances.argmax())],
            **{f"p_{name}": number(p) for name, p in zip(classes, chances, strict=True)},
        }
        for patient, label, chances in zip(
            predictions.patients, predictions.labels, predictions.probabilities, strict=True
        )
    ]
    write_table(path, ["patient_id", "label", "predicted", *(f"p_{name}" for name in classes)], rows)


def read_predictions(path: Path, classes: Sequence[str]) -> Predictions:
    """Read `predictions.csv`.

    Parameters
    ----------
    path
        The file.
    classes
        Names of the classes, in the order of their indices.

    Raises
    ------
    NephroscaleError
        When a column is missing or a label is none of the classes.
    """
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    try:
        labels = np.array([list(classes).index(row["label"]) for row in rows], np.int64)
        chances = np.array([[float(row[f"p_{name}"]) for name in classes] for row in rows], np.float64)
        patients = [row["patient_id"] for row in rows]
    except (KeyError, ValueError) as error:
        raise NephroscaleError(
            f"These predictions are not of the classes {', '.join(classes)}.", where=str(path), todo="Evaluate again."
        ) from error
    return Predictions(patients, labels, chances.reshape(len(rows), len(classes)))


def read_instances(path: Path) -> list[dict[str, Any]]:
    """Read `instances.csv`: `index` as int, `kept` and `centre` as bool, `weight` and `distance` as float (or None)."""
    with path.open(newline="", encoding="utf-8") as stream:
        return [
            {
                **row,
                "index": int(row["index"]),
                "kept": row["kept"] == "1",
                "centre": row["centre"] == "1",
                "weight": float(row["weight"]),
                "distance": float(row["distance"]) if row["distance"] else None,
            }
            for row in csv.DictReader(stream)
        ]
