"""`deposit_predictions`: each fold's test images, and new patients' images, by the models of deposits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nephroscale.deposits.settings import DepositsSettings
from nephroscale.engine.job import Job
from nephroscale.engine.stage import Need, PlanView, need
from nephroscale.settings import Settings, section, setting
from nephroscale.stages.deposit_models import DepositStage, bags_of, deciding, tem_of, with_weights
from nephroscale.stages.patients import deposit_patients
from nephroscale.stages.units import DepositFold, DepositRun


@dataclass(frozen=True)
class DepositEvaluation(Settings):
    """Settings of the predictions of a fold."""

    deposits: DepositsSettings = section(DepositsSettings)
    site: str = setting("Site asked for, or any.", "any")
    fold: int = setting("Fold.", 0)
    seed: int = setting("Seed of the trainings.", 0)


class DepositPredictions(DepositStage):
    """One job per site, fold and seed: every variant, and both systems joined."""

    name = "deposit_predictions"
    rule = "evaluate_deposits"
    pattern = "{site}/fold{fold}-seed{seed}"

    def units(self, plan: PlanView) -> list[str]:
        if not deposit_patients(plan):
            return []
        settings = plan.config.deposits
        return [
            str(DepositFold(site, fold, seed))
            for site in settings.sites
            for fold in range(plan.config.folds.n_folds)
            for seed in settings.seeds
        ]

    @need("deposit_folds")
    def folds(self, plan: PlanView, unit: str) -> Need:
        """The fold, with its test side."""
        return Need("deposit_folds", "cohort", part=f"fold{DepositFold.parse(unit).fold}")

    @need("deposit_models")
    def models(self, plan: PlanView, unit: str) -> list[Need]:
        """The trained variants; one that could not be trained is left out."""
        site, fold, seed = DepositFold.parse(unit)
        return [
            Need("deposit_models", str(DepositRun(site, variant, fold, seed)), optional=True)
            for variant in plan.config.deposits.variants
        ]

    @need("tem", through="folds")
    def tem(self, plan: PlanView, unit: str) -> list[Need]:
        """The cleaned images of the patients on the test side."""
        return tem_of(plan, DepositFold.parse(unit).fold, "test")

    def settings(self, plan: PlanView, unit: str) -> DepositEvaluation:
        return DepositEvaluation(deciding(plan), *DepositFold.parse(unit))

    def make(self, job: Job[DepositEvaluation]) -> Mapping[str, object]:
        from nephroscale.deposits.evaluate import evaluate_deposits
        from nephroscale.deposits.folds import read_deposit_folds

        folds = read_deposit_folds(job.input("folds").object)
        return evaluate_deposits(
            {DepositRun.parse(each.unit).variant: each.path for each in job.inputs("models") if each.path},
            folds.labels(folds.side(str(job.settings.fold), "test"), job.settings.site),
            bags_of(job),
            with_weights(job, job.settings.deposits),
            seed=job.settings.seed,
            out=job.out,
            device=job.device,
        )


STAGE = DepositPredictions()
