"""Rows of the table of patients: labels, uses, and reasons for exclusion."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable

from nephroscale.cohort.columns import check_cells, check_unique
from nephroscale.cohort.patient import Patient
from nephroscale.cohort.reading import Table
from nephroscale.cohort.schemas import read_schema
from nephroscale.cohort.settings import FoldsSettings, TaskSettings
from nephroscale.cohort.tasks import class_names
from nephroscale.cohort.validation_errors import ValidationErrors
from nephroscale.settings import Schema


def patients_schema(task: TaskSettings) -> Schema:
    """Return the schema of patients.csv with the label column under the name that the task gives it.

    The column is required where the task has classes.
    """
    schema = copy.deepcopy(read_schema("patients"))
    schema["properties"].setdefault(task.label, schema["properties"].pop("diagnosis"))
    schema["required"] = ["patient_id", *([task.label] if task.classes else [])]
    return schema


def new_patients_schema() -> Schema:
    """Return the schema of a table of new patients: only ids are required, and no label is read."""
    schema = copy.deepcopy(read_schema("patients"))
    schema["properties"] = {"patient_id": schema["properties"]["patient_id"]}
    schema["required"] = ["patient_id"]
    return schema


def read_new_patients(table: Table, errors: ValidationErrors) -> dict[str, Patient]:
    """Turn rows into patients who are only predicted; columns but `group` are kept unchanged."""
    check_cells(table, new_patients_schema(), ["patient_id"], errors)
    check_unique(table, "patient_id", errors)
    return {
        cells["patient_id"]: Patient(
            id=cells["patient_id"],
            label_text="",
            label=None,
            status="new",
            use="new",
            reason="to be predicted, without a label",
            group=cells.get("group") or None,
            site=None,
            scanner=None,
            columns={column: cells[column] for column in table.columns if column not in {"patient_id", "group"}},
        )
        for _, cells in table.rows
    }


def read_patients(
    table: Table, task: TaskSettings, folds: FoldsSettings, errors: ValidationErrors
) -> dict[str, Patient]:
    """Turn rows into patients by id, collecting every error, and classes too small for any folds."""
    schema = patients_schema(task)
    bad = check_cells(table, schema, ["patient_id"], errors)
    check_unique(table, "patient_id", errors)
    free = [column for column in table.columns if column not in schema["properties"]]
    unmapped: dict[str, list[int]] = {}
    patients: dict[str, Patient] = {}
    for row, cells in table.rows:
        text, use, reason = cells.get(task.label, ""), cells.get("use") or "diagnosis", cells.get("reason") or None
        meaning = task.classes.get(text)
        if task.classes and use in {"diagnosis", "external"}:
            if not text:
                errors.add(table.name, f"is empty; the use {use!r} needs a label.", row=row, column=task.label)
            elif meaning is None:
                unmapped.setdefault(text, []).append(row)
        if use == "exclude" and not reason:
            errors.add(table.name, "is empty; the use 'exclude' needs a reason.", row=row, column="reason")
        label, second = _labels(meaning, task)
        status, reason = _status(use, meaning, text, reason, keep_mixed=task.mixed != "exclude")
        patients[cells["patient_id"]] = Patient(
            id=cells["patient_id"],
            label_text=text,
            label=label,
            status=status,
            use=use,
            reason=reason,
            group=cells.get("group") or None,
            site=cells.get("site") or None,
            scanner=cells.get("scanner") or None,
            columns={column: cells[column] for column in free},
            mixed=(meaning[0], meaning[1]) if isinstance(meaning, tuple) else None,
            second=second,
        )
    if unmapped:
        counts = ", ".join(f"{text!r} ({len(rows)})" for text, rows in sorted(unmapped.items()))
        errors.add(
            table.name,
            f"task.classes has no meaning for these texts: {counts}; map each to a class, exclude or ambiguous.",
            row=min(min(rows) for rows in unmapped.values()),
            column=task.label,
        )
    elif task.classes and not bad:
        _check_counts(table, patients.values(), task, folds, errors)
    return patients


def _labels(meaning: str | tuple[str, ...] | None, task: TaskSettings) -> tuple[str | None, str | None]:
    """Return the class of a label, and the second class of a soft label."""
    if not isinstance(meaning, tuple):
        return (meaning if meaning in class_names(task.classes) else None), None
    lower, higher = meaning
    choices: dict[str, tuple[str | None, str | None]] = {
        "lower": (lower, None),
        "higher": (higher, None),
        "soft": (lower, higher),
    }
    return choices.get(task.mixed, (None, None))


def _status(
    use: str, meaning: str | tuple[str, ...] | None, text: str, reason: str | None, *, keep_mixed: bool
) -> tuple[str, str | None]:
    """Return the patient's status, and the reason for every status but `eligible`."""
    if use == "segmentation":
        return use, reason or "set apart for segmentation"
    if use == "exclude":
        return use, reason
    if isinstance(meaning, tuple):
        if keep_mixed:
            return "eligible", None
        lower, higher = meaning
        return "exclude", reason or f"the label {text!r} lies between {lower} and {higher} (task.mixed: exclude)"
    if meaning in {"exclude", "ambiguous"}:
        word = "is excluded" if meaning == "exclude" else "is ambiguous"
        return str(meaning), reason or f"the label {text!r} {word} (task.classes)"
    return "eligible", None


def _check_counts(
    table: Table, patients: Iterable[Patient], task: TaskSettings, folds: FoldsSettings, errors: ValidationErrors
) -> None:
    """Report numbers of patients that allow no folds."""
    eligible = [patient for patient in patients if patient.in_diagnosis]
    counts = Counter(patient.label for patient in eligible)
    few = [f"{name} {counts[name]}" for name in class_names(task.classes) if counts[name] < task.min_per_class]
    if few:
        errors.add(
            table.name,
            f"too few eligible patients ({', '.join(few)}); task.min_per_class is {task.min_per_class}.",
            column=task.label,
        )
    if len(eligible) < folds.n_folds:
        errors.add(table.name, f"{len(eligible)} eligible patients cannot make {folds.n_folds} folds (folds.n_folds).")
    by_site = {
        "folds.n_folds": folds.n_folds if folds.scheme == "leave_one_site_out" else 0,
        "folds.left_out_sites": folds.left_out_sites,
    }
    for key, number in ((key, number) for key, number in by_site.items() if number):
        without = [patient.id for patient in eligible if not patient.site]
        sites = sorted({patient.site for patient in eligible if patient.site})
        if without:
            errors.add(
                table.name,
                f"is empty for {', '.join(without)}; leaving one site out needs it of eligible patients.",
                column="site",
            )
        elif len(sites) != number:
            errors.add(
                table.name,
                f"there are {len(sites)} sites ({', '.join(sites)}), but {key} is {number}; make them agree.",
                column="site",
            )
