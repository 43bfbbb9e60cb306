"""`deposit_folds`: which patients train, validate and test the models of electron-dense deposits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nephroscale.deposits.folds import DepositFoldsSettings
from nephroscale.engine.job import Job
from nephroscale.engine.stage import STATUS, Need, PlanView, Stage, need
from nephroscale.stages.patients import deposit_patients


class DepositFolds(Stage):
    """One job per cohort, where images have readings of deposits. It needs no task; with one, it keeps its folds."""

    name = "deposit_folds"
    rule = "make_deposit_folds"
    seeded = True

    def units(self, plan: PlanView) -> list[str]:
        return ["cohort"] if deposit_patients(plan) else []

    def after_in(self, plan: PlanView) -> tuple[str, ...]:
        return self.after if plan.config.task.classes else ("tem",)

    @need("folds")
    def folds(self, plan: PlanView, unit: str) -> Need | None:
        """The folds of the diagnosis, if there is a task."""
        return Need("folds", "cohort") if plan.config.task.classes else None

    @need("tem")
    def tem(self, plan: PlanView, unit: str) -> list[Need]:
        """Whether each patient has a TEM image that can be used."""
        return [Need("tem", patient.id, part=STATUS, optional=True) for patient in deposit_patients(plan)]

    def settings(self, plan: PlanView, unit: str) -> DepositFoldsSettings:
        return DepositFoldsSettings(
            replace(plan.config.folds, repeats=1, left_out_sites=0), plan.config.deposits.sites[0]
        )

    def rows(self, plan: PlanView, unit: str) -> object:
        return {
            patient.id: {
                "person": patient.person,
                "group": patient.group,
                "site": patient.site,
                "readings": {i.id: i.deposits.to_text() for i in plan.images(patient.id, "TEM") if i.deposits},
            }
            for patient in deposit_patients(plan)
        }

    def make(self, job: Job[DepositFoldsSettings]) -> Mapping[str, object]:
        from nephroscale.cohort.fold_table import read_folds
        from nephroscale.deposits.folds import DepositPatient, write_deposit_folds

        usable = {each.unit for each in job.inputs("tem") if each.receipt.accepted}
        patients = [
            DepositPatient(
                patient.id,
                patient.person,
                patient.group,
                patient.site,
                {i.id: i.deposits for i in job.plan.images(patient.id, "TEM") if i.deposits},
            )
            for patient in deposit_patients(job.plan)
            if patient.id in usable
        ]
        folds = job.optional_input("folds")
        diagnosis = read_folds(folds.object) if folds else None
        figures, parts = write_deposit_folds(patients, diagnosis, job.settings, job.seed, job.out)
        job.parts.update(parts)
        excluded = {each.unit: each.receipt.reason for each in job.inputs("tem") if each.unit not in usable}
        return {**figures, **({"excluded": excluded} if excluded else {})}


STAGE = DepositFolds()
