"""`deposit_predictions`: each fold's test images, as the models of deposits predict them.

The artifact is a folder: `predictions.csv` (a row for each labelled image of the test side: `image_id, patient_id,
deposits` and the probability by each variant; with the plain network and the SVM also `combined`, by their weight, and
`combined-equal`), `weight.json` (the weight of the plain network, chosen on the validation side, or null) and, with the
plain network, the Zarr group `heat.zarr` of n instances: `heat` [n, h, w] float16, where the network sees deposits;
`image` [n] int32, index into the attribute `images` (the ids); `box` [n, 4] int32; `valid` [n, 4] float32, as
fractions of the instance's side. `box` and `valid` are those of `tem`. The artifact is in the store; the link
``<results>/deposit_predictions/<site>/fold<n>-seed<m>`` leads to it.

A job reads the fold from `deposit_folds`, the trained variants from `deposit_models`, and the cleaned images of the
test side from `tem`. It calls `deposits.evaluate.evaluate_deposits`.
"""

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
        """Each site of `deposits.sites`, with each fold and seed; none without readings of deposits."""
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
        """The section `deposits`, and the unit's site, fold and seed.

        Its lists and the path of the weights of the backbone do not count, as in `deposit_models`.
        """
        return DepositEvaluation(deciding(plan), *DepositFold.parse(unit))

    def make(self, job: Job[DepositEvaluation]) -> Mapping[str, object]:
        """Predict the labelled images of the test side with every trained variant, and with both systems joined.

        The fold is rejected if its test side has no labelled image, or if no variant could be trained.
        """
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
