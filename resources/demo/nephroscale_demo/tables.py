"""The rows of a cohort's tables, and the tables as text."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class PatientRow:
    """A row of patients.csv; every cell is text."""

    patient_id: str
    diagnosis: str = ""
    use: str = "diagnosis"
    reason: str = ""
    group: str = ""
    site: str = ""
    scanner: str = ""
    subtype: str = ""
    age: str = ""
    sex: str = ""
    mn_stage: str = ""


@dataclass(frozen=True)
class ImageRow:
    """A row of images.csv; every cell is text."""

    image_id: str
    patient_id: str
    biopsy_id: str = ""
    modality: str = ""
    stain: str = ""
    marker: str = ""
    path: str = ""
    mpp: str = ""
    nm_per_px: str = ""
    instrument: str = ""
    magnification: str = ""
    roi: str = ""
    exposure_ms: str = ""
    gain: str = ""
    grade: str = ""
    annotation: str = ""
    deposits: str = ""
    deposit_outlines: str = ""


@dataclass(frozen=True)
class InstrumentRow:
    """A row of instruments.csv: what a microscope's magnification means."""

    instrument: str
    magnification: str
    nm_per_px: str


Row = PatientRow | ImageRow | InstrumentRow


PATIENT_COLUMNS = tuple(field.name for field in fields(PatientRow) if field.name != "mn_stage")
"""Columns of a table of patients with diagnoses."""


def as_csv(kind: type, rows: Sequence[Row], columns: Sequence[str] = ()) -> str:
    """Write rows as CSV text, with the columns of `kind` in their order and line feeds.

    Parameters
    ----------
    kind
        The rows' class, which names the columns also where there are no rows.
    rows
        The rows.
    columns
        The columns to write; all when empty.
    """
    text = io.StringIO()
    names = columns or [field.name for field in fields(kind)]
    writer = csv.DictWriter(text, names, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue()
