"""`new_deposits`: deposits in the TEM images of new patients, by all folds and seeds together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nephroscale.deposits.settings import PLAIN, SVM
from nephroscale.engine.job import Job
from nephroscale.engine.stage import Need, PlanView, need
from nephroscale.stages.deposit_models import DepositStage, bags_of, deciding, with_weights
from nephroscale.stages.deposit_predictions import DepositEvaluation
from nephroscale.stages.patients import deposit_patients
from nephroscale.stages.units import DepositRun, SiteBatch


class NewDeposits(DepositStage):
    """One job per site and batch of new patients. Nothing depends on it."""

    name = "new_deposits"
    rule = "predict_deposits"
    pattern = "{site}/{batch}"

    def units(self, plan: PlanView) -> list[str]:
        return []

    def new_units(self, plan: PlanView) -> list[str]:
        if plan.package or not plan.new_patients or not deposit_patients(plan):
            return []
        return [str(SiteBatch(site, plan.batch)) for site in plan.config.deposits.sites]

    def stays(self, unit: str) -> bool:
        return True

    @need("deposit_models")
    def models(self, plan: PlanView, unit: str) -> list[Need]:
        """Plain networks and SVMs of every fold and seed; one that could not be trained is left out."""
        settings = plan.config.deposits
        return [
            Need("deposit_models", str(DepositRun(SiteBatch.parse(unit).site, variant, fold, seed)), optional=True)
            for variant in (PLAIN, SVM)
            if variant in settings.variants
            for fold in range(plan.config.folds.n_folds)
            for seed in settings.seeds
        ]

    @need("tem")
    def tem(self, plan: PlanView, unit: str) -> list[Need]:
        """The cleaned TEM images of the new patients."""
        return [Need("tem", patient, optional=True) for patient in plan.new_patients]

    def settings(self, plan: PlanView, unit: str) -> DepositEvaluation:
        return DepositEvaluation(deciding(plan), SiteBatch.parse(unit).site)

    def make(self, job: Job[DepositEvaluation]) -> Mapping[str, object]:
        from nephroscale.deposits.evaluate import predict_new_deposits

        members: dict[tuple[int, int], dict[str, Path]] = {}
        for each in job.inputs("models"):
            if each.path:
                run = DepositRun.parse(each.unit)
                members.setdefault((run.fold, run.seed), {})[run.variant] = each.path
        return predict_new_deposits(
            members, bags_of(job), with_weights(job, job.settings.deposits), out=job.out, device=job.device
        )


STAGE = NewDeposits()
