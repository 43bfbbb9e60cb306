"""`deposit_folds`: which patients train, validate and test the models of electron-dense deposits.

The artifact is a folder with `folds.json`: `folds` (ids on the sides `train`, `validation` and `test` of each fold),
`readings` (patient to TEM image to what was read) and `persons` (case to patient, for patients with several biopsies).
Its parts are ``fold<n>`` and ``fold<n>.train``, the training and validation side alone, both with their readings. It is
in the store; the link ``<results>/deposit_folds`` leads to it.

A job reads from `tem` which patients have usable TEM images and, if there is a task, the folds of the diagnosis. It
calls `deposits.folds.write_deposit_folds`.
"""

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
        """One, if patients for diagnosis or set apart have readings of deposits, and `deposits.sites` is not empty."""
        return ["cohort"] if deposit_patients(plan) else []

    def after_in(self, plan: PlanView) -> tuple[str, ...]:
        """Without a task it does not read `folds`."""
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
        """The section `folds`, and the first site of `deposits.sites`, whose answers are spread evenly.

        `folds.repeats` and `folds.left_out_sites` do not count: they have a fixed value here. The seed is in the
        recipe, too.
        """
        return DepositFoldsSettings(
            replace(plan.config.folds, repeats=1, left_out_sites=0), plan.config.deposits.sites[0]
        )

    def rows(self, plan: PlanView, unit: str) -> object:
        """Person, group, site and the readings of the TEM images of each patient with readings."""
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
        """Divide the patients; those of the diagnosis keep their folds of its first division.

        Patients whose TEM images were rejected are in no fold; the receipt lists them under `excluded`. The job fails
        if too few patients are left for the folds.
        """
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
