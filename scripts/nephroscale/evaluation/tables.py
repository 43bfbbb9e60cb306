"""CSV tables of an evaluation: one number format for all, read back with their types."""

from __future__ import annotations

import csv
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from _typeshed import DataclassInstance

Cell: TypeAlias = str | float | None
"""Value of a table cell; integers and truth values are numbers, too."""


@dataclass(frozen=True)
class InstanceWeight:
    """One row of `instances.csv`: what a TEM image counted in a prediction.

    Attributes
    ----------
    patient_id, image_id
        The patient and the image.
    index
        Row of the instance in the patient's features.
    kept
        Whether SMIL kept the instance; always true for other pooling methods.
    centre
        Whether the instance is the medoid of its bag.
    weight
        Weight of the instance; in [0, 1].
    distance
        Distance from the medoid in units of the bag's range of values; None where the model has no medoid.
    """

    patient_id: str
    image_id: str
    index: int
    kept: bool
    centre: bool
    weight: float
    distance: float | None


@dataclass(frozen=True)
class PoolingWeight:
    """One row of `pooling.csv`: what an OM or IM instance counted in a prediction.

    Attributes
    ----------
    patient_id, modality
        The patient; `OM` or `IM`.
    image_id, index
        The image and the row of the instance in the patient's features; empty for a negative marker without an image.
    slot
        Position of the marker in the IM panel; 0 for OM.
    state
        `image`, or `negative` for a marker that was found negative and not photographed.
    weight
        Weight of the instance; in [0, 1].
    """

    patient_id: str
    modality: str
    image_id: str
    index: int | None
    slot: int
    state: str
    weight: float


@dataclass(frozen=True)
class Predictions:
    """Class probabilities of some patients, with their true classes.

    Attributes
    ----------
    patients
        Patient ids.
    labels
        [n] int64 true class indices.
    probabilities
        [n, classes] float64.
    second
        [n] int64: second class of a soft label (weight 0.5), equal to `labels` for all other patients; None where no
        patient has a soft label.
    """

    patients: list[str]
    labels: np.ndarray
    probabilities: np.ndarray
    second: np.ndarray | None = None

    @property
    def between(self) -> np.ndarray:
        """[n] bool: patients with a soft label, between two classes."""
        return np.zeros(len(self.patients), bool) if self.second is None else self.second != self.labels

    @property
    def certain(self) -> Predictions:
        """Predictions of the patients with one true class: no metric is defined for the others."""
        return self.where(~self.between) if self.second is not None else self

    def where(self, chosen: np.ndarray) -> Predictions:
        """Select patients by a mask [n] bool."""
        patients = [patient for patient, its in zip(self.patients, chosen, strict=True) if its]
        second = self.second[chosen] if self.second is not None and self.between[chosen].any() else None
        return Predictions(patients, self.labels[chosen], self.probabilities[chosen], second)

    def of(self, patients: Collection[str]) -> Predictions:
        """Select patients by id; the order stays."""
        wanted = set(patients)
        return self.where(np.array([patient in wanted for patient in self.patients], bool))


def format_cell(value: Cell) -> str:
    """Format a table cell: floats with eight decimals and without a negative zero, truth values as 1 and 0."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{round(float(value), 8) + 0.0:.8f}"
    return str(int(value)) if isinstance(value, bool) else str(value)


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Cell]]) -> None:
    """Write rows as CSV in UTF-8 with line feeds; a column that a row lacks is left empty."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, columns, lineterminator="\n")
        table.writeheader()
        table.writerows({column: format_cell(value) for column, value in row.items()} for row in rows)


def write_rows(path: Path, kind: type[DataclassInstance], rows: Iterable[DataclassInstance]) -> None:
    """Write rows of one dataclass: its fields are the columns."""
    write_table(path, [key.name for key in fields(kind)], (vars(row) for row in rows))


def read_rows(path: Path, *, needed: bool = True) -> list[dict[str, str]]:
    """Read the rows of a CSV in UTF-8; with `needed=False`, a file that is not there has none."""
    if not needed and not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def read_instances(path: Path) -> list[InstanceWeight]:
    """Read `instances.csv`."""
    return [
        InstanceWeight(
            patient_id=row["patient_id"],
            image_id=row["image_id"],
            index=int(row["index"]),
            kept=row["kept"] == "1",
            centre=row["centre"] == "1",
            weight=float(row["weight"]),
            distance=float(row["distance"]) if row["distance"] else None,
        )
        for row in read_rows(path)
    ]


def read_pooling(path: Path) -> list[PoolingWeight]:
    """Read `pooling.csv`."""
    return [
        PoolingWeight(
            patient_id=row["patient_id"],
            modality=row["modality"],
            image_id=row["image_id"],
            index=int(row["index"]) if row["index"] else None,
            slot=int(row["slot"]),
            state=row["state"],
            weight=float(row["weight"]),
        )
        for row in read_rows(path)
    ]


def probability_cells(prefix: str, probabilities: Iterable[float], classes: Sequence[str]) -> dict[str, Cell]:
    """Name the values of the classes [K] by their columns, `<prefix>_<class>`."""
    return {f"{prefix}_{name}": float(value) for name, value in zip(classes, probabilities, strict=True)}


def probability_columns(prefix: str, classes: Sequence[str]) -> list[str]:
    """List the columns of :func:`probability_cells`."""
    return [f"{prefix}_{name}" for name in classes]


def write_predictions(path: Path, predictions: Predictions, classes: Sequence[str]) -> None:
    """Write `predictions.csv`: `patient_id,label,predicted,p_<class>...`, classes by their names.

    Where a patient has a soft label there is a column `second` after `label`, empty for all other patients.
    """
    second = predictions.labels if predictions.second is None else predictions.second
    rows: list[dict[str, Cell]] = [
        {
            "patient_id": patient,
            "label": classes[int(label)],
            **({} if predictions.second is None else {"second": classes[int(other)] if other != label else ""}),
            "predicted": classes[int(probabilities.argmax())],
            **probability_cells("p", probabilities, classes),
        }
        for patient, label, other, probabilities in zip(
            predictions.patients, predictions.labels, second, predictions.probabilities, strict=True
        )
    ]
    soft = [] if predictions.second is None else ["second"]
    write_table(path, ["patient_id", "label", *soft, "predicted", *probability_columns("p", classes)], rows)


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
        When a column is missing or a label is not among the classes.
    """
    rows, names = read_rows(path), list(classes)
    try:
        labels = np.array([names.index(row["label"]) for row in rows], np.int64)
        probabilities = np.array([read_probabilities(row, "p", names) for row in rows], np.float64)
        patients = [row["patient_id"] for row in rows]
        between = [names.index(row["second"] or row["label"]) for row in rows if "second" in row]
        second = np.array(between, np.int64) if between else None
    except (KeyError, ValueError) as error:
        raise NephroscaleError(
            f"The classes of these predictions are not {', '.join(classes)}.",
            where=str(path),
            fix="Evaluate the model again.",
        ) from error
    return Predictions(patients, labels, probabilities.reshape(len(rows), len(classes)), second)


def read_probabilities(row: Mapping[str, str], prefix: str, classes: Sequence[str]) -> list[float]:
    """Read the columns of :func:`probability_columns` from a row."""
    return [float(row[column]) for column in probability_columns(prefix, classes)]


def write_heads(path: Path, heads: Mapping[str, Mapping[str, np.ndarray]], classes: Sequence[str]) -> None:
    """Write `heads.csv`, `patient_id,head,p_<class>...`, where a network has more heads than one.

    Parameters
    ----------
    path
        The file.
    heads
        Patient id to output head to its probabilities [classes].
    classes
        Names of the classes, in the order of their indices.
    """
    if all(len(found) < 2 for found in heads.values()):
        return
    rows: list[dict[str, Cell]] = [
        {"patient_id": patient, "head": head, **probability_cells("p", probabilities, classes)}
        for patient, found in heads.items()
        for head, probabilities in found.items()
    ]
    write_table(path, ["patient_id", "head", *probability_columns("p", classes)], rows)


def read_heads(path: Path, predictions: Predictions, classes: Sequence[str]) -> dict[str, Predictions]:
    """Read the probabilities of each output head of the same patients from `heads.csv`; empty without such a file."""
    rows = read_rows(path, needed=False)
    heads = {}
    for head in dict.fromkeys(row["head"] for row in rows):
        found = {row["patient_id"]: read_probabilities(row, "p", classes) for row in rows if row["head"] == head}
        heads[head] = replace(predictions, probabilities=np.array([found[patient] for patient in predictions.patients]))
    return heads


def write_removed(path: Path, rows: Iterable[tuple[str, str, np.ndarray]], classes: Sequence[str]) -> None:
    """Write `removed.csv`, `patient_id,removed,p_<class>...`: probabilities [classes] with one modality left out.

    Parameters
    ----------
    path
        The file.
    rows
        Patient id, modality left out, probabilities.
    classes
        Names of the classes, in the order of their indices.
    """
    cells = ({"patient_id": who, "removed": name, **probability_cells("p", p, classes)} for who, name, p in rows)
    write_table(path, ["patient_id", "removed", *probability_columns("p", classes)], cells)


def read_removed(path: Path, classes: Sequence[str]) -> dict[tuple[str, str], list[float]]:
    """Read `removed.csv`: patient id and modality left out to probabilities; empty without such a file."""
    rows = read_rows(path, needed=False)
    return {(row["patient_id"], row["removed"]): read_probabilities(row, "p", classes) for row in rows}
