"""Groups of patients who stay on one side of every split: one spelling each, one use each, and links by images."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nephroscale.cohort.patient import Patient, PatientRow
    from nephroscale.cohort.validation_errors import ValidationErrors


def unite_groups(patients: dict[str, Patient], table: str, errors: ValidationErrors) -> dict[str, Patient]:
    """Give groups whose names differ by spaces, case or the width of letters one name, and check their uses.

    Parameters
    ----------
    patients
        Patients of all tables by id, new ones included.
    table
        Name of the table of patients, for messages.
    errors
        Collects groups with patients of several uses, and notes the names that were united.

    Returns
    -------
    dict
        The patients; each group has the most frequent of its spellings.
    """
    spellings: dict[str, Counter[str]] = {}
    for patient in patients.values():
        if patient.group:
            spellings.setdefault(_folded(patient.group), Counter())[patient.group] += 1
    names = {key: min(found, key=lambda name: (-found[name], name)) for key, found in spellings.items()}
    for key, found in sorted(spellings.items()):
        if len(found) > 1:
            written = ", ".join(repr(name) for name in sorted(found))
            errors.note(table, f"the groups {written} are taken as one, {names[key]!r}.", column="group")
    united = {
        name: replace(patient, group=names[_folded(patient.group)]) if patient.group else patient
        for name, patient in patients.items()
    }
    _check_uses(united, table, errors)
    return united


def join_linked(rows: Sequence[PatientRow], links: Iterable[tuple[str, str]]) -> list[PatientRow]:
    """Put linked cases, with all others of their groups, into one group.

    Parameters
    ----------
    rows
        Cases to divide into folds.
    links
        Pairs of case ids; either may be no case of `rows`, such as an external patient.
    """
    groups = {row.id: row.group or f"patient {row.id}" for row in rows}
    linked: set[str] = set()
    for pair in links:
        first, second = sorted(groups.setdefault(name, f"patient {name}") for name in pair)
        groups = {name: first if group == second else group for name, group in groups.items()}
        linked = linked - {second} | {first}
    return [replace(row, group=groups[row.id]) if groups[row.id] in linked else row for row in rows]


def _check_uses(patients: dict[str, Patient], table: str, errors: ValidationErrors) -> None:
    """Report groups of which some patients train or validate and others are scored or set apart."""
    uses: dict[str, dict[str, list[str]]] = {}
    for patient in patients.values():
        if patient.group and patient.status in {"eligible", "segmentation", "new"}:
            uses.setdefault(patient.group, {}).setdefault(patient.use, []).append(patient.person or patient.id)
    for group, found in sorted(uses.items()):
        if len(found) > 1:
            members = "; ".join(f"{use}: {', '.join(sorted(set(ids)))}" for use, ids in sorted(found.items()))
            errors.add(
                table,
                f"the group {group!r} has patients of several uses ({members}); give them one use, or exclude some.",
                column="group",
            )


def _folded(name: str) -> str:
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", name)).casefold()
