"""Predictions of patients with one of their modalities left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nephroscale.evaluation.tables import (
    probability_cells,
    probability_columns,
    read_probabilities,
    read_rows,
    write_table,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import numpy as np


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
    columns = ["patient_id", "removed", *probability_columns("p", classes)]
    cells = ({"patient_id": who, "removed": name, **probability_cells("p", p, classes)} for who, name, p in rows)
    write_table(path, columns, cells)


def read_removed(path: Path, classes: Sequence[str]) -> dict[tuple[str, str], list[float]]:
    """Read `removed.csv`: patient id and modality left out to probabilities; empty without such a file."""
    rows = read_rows(path, needed=False)
    return {(row["patient_id"], row["removed"]): read_probabilities(row, "p", classes) for row in rows}
