"""`folds`: which patients train, validate and test in each fold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nephroscale.cohort.eligibility import EligibilitySettings
from nephroscale.engine.stage import STATUS, Need, PlanView, Stage, need
from nephroscale.stages.patients import diagnosis_patients, listed_patients
from nephroscale.stages.units import PatientModality

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.engine.job import Job


class Folds(Stage):
    """One job per cohort. It depends on which patients have features, not on what these are."""

    name = "folds"
    rule = "make_folds"
    seeded = True

    def units(self, plan: PlanView) -> list[str]:
        return ["cohort"]

    @need("features")
    def features(self, plan: PlanView, unit: str) -> list[Need]:
        """Whether each patient to diagnose has features of each modality that a model reads."""
        return [
            Need("features", str(PatientModality(patient.id, modality)), part=STATUS, optional=True)
            for patient in diagnosis_patients(plan)
            for modality in plan.modalities
        ]

    def settings(self, plan: PlanView, unit: str) -> EligibilitySettings:
        task = plan.config.task
        return EligibilitySettings(
            folds=plan.config.folds,
            classes=tuple(plan.cohort.classes),
            min_per_class=task.min_per_class,
            permute_labels=task.permute_labels,
            meanings=task.classes,
            mixed=task.mixed,
            missing_modalities=task.missing_modalities,
            modalities=tuple(plan.modalities),
        )

    def rows(self, plan: PlanView, unit: str) -> object:
        return [patient.row().to_mapping() for patient in listed_patients(plan)]

    def make(self, job: Job) -> Mapping[str, object]:
        from nephroscale.cohort.eligibility import write_folds

        assert isinstance(job.settings, EligibilitySettings)
        assert job.seed is not None
        missing: dict[str, dict[str, str]] = {}
        for each in job.inputs("features"):
            if not each.receipt.accepted:
                patient, modality = PatientModality.parse(each.unit)
                missing.setdefault(patient, {})[modality] = each.receipt.reason or "no reason given"
        figures, parts = write_folds(
            [p.row() for p in listed_patients(job.plan)], missing, job.settings, job.seed, job.out
        )
        job.parts.update(parts)
        return figures


STAGE = Folds()
