"""Rows of the table of patients: who takes part, with which label, and why somebody does not."""

from __future__ import annotations

import copy
from collections import Counter
from typing import TYPE_CHECKING, Any

from nephroscale.cohort.columns import check_cells, check_unique
from nephroscale.cohort.config import class_names
from nephroscale.cohort.members import Patient
from nephroscale.cohort.schemas import read_schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nephroscale.cohort.reading import Table
    from nephroscale.cohort.validation_errors import ValidationErrors


def patients_schema(label: str) -> dict[str, Any]:
    """Give the schema of patients.csv with the label column under the name that the task gives it."""
    schema = copy.deepcopy(read_schema("patients"))
    described = schema["properties"].pop("diagnosis")
    schema["properties"].setdefault(label, described)
    schema["required"] = ["patient_id", label]
    return schema


def new_patients_schema() -> dict[str, Any]:
    """Give the schema of a table of new patients: nothing but their ids is needed, and no label is read."""
    schema = copy.deepcopy(read_schema("patients"))
    schema["properties"] = {"patient_id": schema["properties"]["patient_id"]}
    schema["required"] = ["patient_id"]
    return schema


def read_new_patients(table: Table, faults: ValidationErrors) -> dict[str, Patient]:
    """Turn rows into patients who are predicted and nothing else; their other columns are kept as they are."""
    check_cells(table, new_patients_schema(), ["patient_id"], faults)
    check_unique(table, "patient_id", faults)
    return {
        cells["patient_id"]: Patient(
            id=cells["patient_id"],
            label_text="",
            label=None,
            status="new",
            use="new",
            reason="to be predicted, without a label",
            group=None,
            site=None,
            scanner=None,
            columns={column: cells[column] for column in table.columns if column != "patient_id"},
        )
        for _, cells in table.rows
    }


def read_patients(table: Table, config: dict[str, Any], faults: ValidationErrors) -> dict[str, Patient]:
    """Turn rows into patients by id, noting every fault, and classes too small for any folds."""
    task = config["task"]
    schema = patients_schema(task["label"])
    bad = check_cells(table, schema, ["patient_id"], faults)
    check_unique(table, "patient_id", faults)
    free = [column for column in table.columns if column not in schema["properties"]]
    unmapped: dict[str, list[int]] = {}
    patients: dict[str, Patient] = {}
    for row, cells in table.rows:
        text, use, reason = cells[task["label"]], cells.get("use") or "diagnosis", cells.get("reason") or None
        meaning = task["classes"].get(text)
        if use in {"diagnosis", "external"}:
            if not text:
                faults.add(table.name, f"is empty; the use {use!r} needs a label.", row=row, column=task["label"])
            elif meaning is None:
                unmapped.setdefault(text, []).append(row)
        if use == "exclude" and not reason:
            faults.add(table.name, "is empty; the use 'exclude' needs a reason.", row=row, column="reason")
        mixed = (meaning[0], meaning[1]) if isinstance(meaning, list) else None
        label, second = _labels(meaning, task)
        status, why = _status(use, meaning, text, reason, policy=task["mixed"])
        patients[cells["patient_id"]] = Patient(
            id=cells["patient_id"],
            label_text=text,
            label=label,
            status=status,
            use=use,
            reason=why,
            group=cells.get("group") or None,
            site=cells.get("site") or None,
            scanner=cells.get("scanner") or None,
            columns={column: cells[column] for column in free},
            mixed=mixed,
            second=second,
        )
    if unmapped:
        counts = ", ".join(f"{text!r} ({len(rows)})" for text, rows in sorted(unmapped.items()))
        what = f"task.classes does not say what these texts mean: {counts}; map each to a class, exclude or ambiguous."
        faults.add(table.name, what, row=min(min(rows) for rows in unmapped.values()), column=task["label"])
    elif not bad:
        _check_counts(table, patients.values(), config, faults)
    return patients


def _labels(meaning: str | list[str] | None, task: dict[str, Any]) -> tuple[str | None, str | None]:
    """Give the class of a label, and the class that the patient is by half beside it, if any."""
    if not isinstance(meaning, list):
        return (meaning if meaning in class_names(task) else None), None
    lower, higher = meaning
    choices: dict[str, tuple[str | None, str | None]] = {
        "lower": (lower, None),
        "higher": (higher, None),
        "soft": (lower, higher),
    }
    return choices.get(task["mixed"], (None, None))


def _status(
    use: str, meaning: str | list[str] | None, text: str, reason: str | None, *, policy: str
) -> tuple[str, str | None]:
    if use == "segmentation":
        return use, reason or "set apart for segmentation"
    if use == "exclude":
        return use, reason
    if isinstance(meaning, list):
        if policy != "exclude":
            return "eligible", None
        return (
            "exclude",
            reason or f"the label {text!r} lies between {meaning[0]} and {meaning[1]} (task.mixed: exclude)",
        )
    if meaning in {"exclude", "ambiguous"}:
        word = "is excluded" if meaning == "exclude" else "is ambiguous"
        return str(meaning), reason or f"the label {text!r} {word} (task.classes)"
    return "eligible", None


def _check_counts(table: Table, patients: Iterable[Patient], config: dict[str, Any], faults: ValidationErrors) -> None:
    """Note what no choice of folds can mend."""
    task, folds = config["task"], config["folds"]
    eligible = [patient for patient in patients if patient.status == "eligible" and patient.use == "diagnosis"]
    counts = Counter(patient.label for patient in eligible)
    few = [f"{name} {counts[name]}" for name in class_names(task) if counts[name] < task["minimum_per_class"]]
    if few:
        what = f"too few eligible patients ({', '.join(few)}); task.minimum_per_class is {task['minimum_per_class']}."
        faults.add(table.name, what, column=task["label"])
    if len(eligible) < folds["count"]:
        faults.add(table.name, f"{len(eligible)} eligible patients cannot make {folds['count']} folds (folds.count).")
    if folds["scheme"] == "leave_one_site_out":
        nowhere = [patient.id for patient in eligible if not patient.site]
        sites = sorted({patient.site for patient in eligible if patient.site})
        if nowhere:
            what = (
                f"is empty for {', '.join(nowhere)}; folds.scheme leave_one_site_out needs it of all who are eligible."
            )
            faults.add(table.name, what, column="site")
        elif len(sites) != folds["count"]:
            named = ", ".join(sites)
            what = f"there are {len(sites)} sites ({named}), but folds.count is {folds['count']}; make them agree."
            faults.add(table.name, what, column="site")
