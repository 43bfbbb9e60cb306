"""`folds`: which patients train, validate and test in each fold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nephroscale.engine.stage import Need, Stage

if TYPE_CHECKING:
    from nephroscale.engine.plan import Plan


class Folds(Stage):
    """One job a cohort. It depends on which patients have features, not on what these are."""

    name = "folds"
    rule = "make_folds"
    seeded = True
    after = ("features",)

    def units(self, plan: Plan) -> list[str]:
        return ["cohort"]

    def needs(self, plan: Plan, unit: str) -> list[Need]:
        return [
            Need("features", f"{patient.id}-{modality}", part="status", optional=True)
            for patient in diagnosis_patients(plan)
            for modality in plan.modalities
        ]

    def settings(self, plan: Plan, unit: str) -> Any:
        task = plan.config["task"]
        return {
            "folds": plan.config["folds"],
            "classes": list(plan.cohort.classes),
            "minimum_per_class": task["minimum_per_class"],
            "permute_labels": task["permute_labels"],
            "meanings": task["classes"],
            "mixed": task["mixed"],
            "missing_modalities": task["missing_modalities"],
            "modalities": plan.modalities,
        }

    def rows(self, plan: Plan, unit: str) -> Any:
        left_out = [p for p in plan.cohort.patients.values() if p.use in {"diagnosis", "exclude"} and p.reason]
        return [p.row() for p in sorted([*diagnosis_patients(plan), *left_out], key=lambda p: p.id)]


def diagnosis_patients(plan: Plan) -> list[Any]:
    """The patients that come into folds, in the order of their ids."""
    found = [plan.cohort.patients[patient] for patient in plan.patients]
    return sorted((p for p in found if p.use == "diagnosis"), key=lambda p: p.id)


STAGE = Folds()
