"""Diagnoses of single readers: the table that the model and other readers are compared with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from nephroscale.cohort.columns import check_cells
from nephroscale.cohort.patient import Patient
from nephroscale.cohort.reading import Table
from nephroscale.cohort.schemas import read_schema
from nephroscale.cohort.settings import TaskSettings
from nephroscale.cohort.validation_errors import ValidationErrors


class Reading(NamedTuple):
    """Diagnosis of a case by a reader: the name of a class, or None where its text means none (`exclude`, say)."""

    reader: str
    case: str
    label: str | None


def read_readings(
    table: Table, cases: Iterable[Patient], task: TaskSettings, errors: ValidationErrors
) -> tuple[Reading, ...]:
    """Turn rows into readings, sorted by reader and case, collecting every error.

    Parameters
    ----------
    table
        The table of readers.
    cases
        Cases of the tables; those of a patient with several biopsies are named by patient and biopsy.
    task
        Meanings of the texts.
    errors
        Collects the errors.
    """
    check_cells(table, read_schema("readers"), ["patient_id", "reader", "diagnosis"], errors)
    known = {(case.person or case.id, case.biopsy or ""): case.id for case in cases}
    found: dict[tuple[str, str], Reading] = {}
    for row, cells in table.rows:
        patient, biopsy = cells["patient_id"], cells.get("biopsy_id", "")
        case, text = known.get((patient, biopsy)), cells["diagnosis"]
        if patient and case is None:
            named = f"{patient!r} with the biopsy {biopsy!r}" if biopsy else repr(patient)
            errors.add(table.name, f"{named} is no case of the study.", row=row, column="patient_id")
            continue
        if text and text not in task.classes:
            errors.add(table.name, f"task.classes has no meaning for {text!r}.", row=row, column="diagnosis")
        key = (cells["reader"], case or "")
        if key in found:
            errors.add(table.name, f"{key[0]!r} read {key[1]} twice; keep one row.", row=row, column="reader")
        meaning = task.classes.get(text)
        chosen = meaning if isinstance(meaning, str) and meaning not in {"exclude", "ambiguous"} else None
        found[key] = Reading(key[0], key[1], chosen)
    return tuple(found[key] for key in sorted(found))
