"""Which patients of the tables take part in a stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nephroscale.cohort.patient import Patient
    from nephroscale.engine.stage import PlanView


def diagnosis_patients(plan: PlanView) -> list[Patient]:
    """The patients that come into folds, in the order of their ids."""
    found = [plan.cohort.patients[patient] for patient in plan.patients]
    return sorted((p for p in found if p.use == "diagnosis"), key=lambda p: p.id)


def listed_patients(plan: PlanView) -> list[Patient]:
    """The patients that come into folds and those who are left out with a reason, in the order of their ids."""
    left_out = [p for p in plan.cohort.patients.values() if p.use in {"diagnosis", "exclude"} and p.reason]
    return sorted([*diagnosis_patients(plan), *left_out], key=lambda p: p.id)


def deposit_patients(plan: PlanView) -> list[Patient]:
    """The patients whose TEM images have readings of deposits, in the order of their ids; none where nothing is learnt.

    A label for the diagnosis is not needed. External patients, and those whom the tables leave out, are not among them.
    """
    if not plan.config.deposits.sites:
        return []
    return [
        patient
        for _, patient in sorted(plan.cohort.patients.items())
        if patient.use in {"diagnosis", "segmentation"} and any(i.deposits for i in plan.images(patient.id, "TEM"))
    ]


def prepared_patients(plan: PlanView) -> list[str]:
    """The patients whose TEM images are cleaned: those of the study, and those with readings of deposits."""
    return list(dict.fromkeys([*plan.patients, *(patient.id for patient in deposit_patients(plan))]))
