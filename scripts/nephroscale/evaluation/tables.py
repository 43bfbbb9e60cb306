"""The tables that an evaluation leaves: written the same way each time, read back with their types."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
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
    second
        [n] int64: the other class of patients who lie between two, `labels` for all others; None where nobody does.
    """

    patients: list[str]
    labels: np.ndarray
    probabilities: np.ndarray
    second: np.ndarray | None = None

    @property
    def between(self) -> np.ndarray:
        """[n] bool: who lies between two classes."""
        return np.zeros(len(self.patients), bool) if self.second is None else self.second != self.labels

    @property
    def certain(self) -> Predictions:
        """Of the patients with one true class: no figure of merit can judge the others."""
        return self.where(~self.between) if self.second is not None else self

    def where(self, chosen: np.ndarray) -> Predictions:
        """Give those of some patients: [n] bool."""
        patients = [patient for patient, its in zip(self.patients, chosen, strict=True) if its]
        second = self.second[chosen] if self.second is not None and self.between[chosen].any() else None
        return Predictions(patients, self.labels[chosen], self.probabilities[chosen], second)

    def of(self, patients: Collection[str]) -> Predictions:
        """Give the predictions of some patients alone, in the order they have here."""
        wanted = set(patients)
        return self.where(np.array([patient in wanted for patient in self.patients], bool))


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
    """Write `predictions.csv`: `patient_id,label,predicted,p_<class>...`, classes by their names.

    Where somebody lies between two classes there is a column `second` after `label`, empty for all others.
    """
    second = predictions.labels if predictions.second is None else predictions.second
    rows = [
        {
            "patient_id": patient,
            "label": classes[int(label)],
            **({} if predictions.second is None else {"second": classes[int(other)] if other != label else ""}),
            "predicted": classes[int(chances.argmax())],
            **{f"p_{name}": number(p) for name, p in zip(classes, chances, strict=True)},
        }
        for patient, label, other, chances in zip(
            predictions.patients, predictions.labels, second, predictions.probabilities, strict=True
        )
    ]
    also = [] if predictions.second is None else ["second"]
    write_table(path, ["patient_id", "label", *also, "predicted", *(f"p_{name}" for name in classes)], rows)


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
        second = None
        if rows and "second" in rows[0]:
            second = np.array([list(classes).index(row["second"] or row["label"]) for row in rows], np.int64)
    except (KeyError, ValueError) as error:
        raise NephroscaleError(
            f"These predictions are not of the classes {', '.join(classes)}.", where=str(path), todo="Evaluate again."
        ) from error
    return Predictions(patients, labels, chances.reshape(len(rows), len(classes)), second)


def read_heads(path: Path, predictions: Predictions, classes: Sequence[str]) -> dict[str, Predictions]:
    """Read `heads.csv`, whose patients are those of the predictions, by head; empty where there is no such table."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    found = {}
    for head in dict.fromkeys(row["head"] for row in rows):
        chances = {row["patient_id"]: [float(row[f"p_{c}"]) for c in classes] for row in rows if row["head"] == head}
        ordered = np.array([chances[patient] for patient in predictions.patients])
        found[head] = replace(predictions, probabilities=ordered)
    return found


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
