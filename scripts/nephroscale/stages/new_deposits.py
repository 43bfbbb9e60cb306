"""`new_deposits`: deposits in the TEM images of new patients, by all folds and seeds together.

The artifact of a site and a batch is a folder with `predictions.csv`: a row for each TEM image (`image_id, patient_id,
deposits`, which is empty) with the mean probability, over folds and seeds, by the plain network, by the SVM and by both
joined. It is in the store; the link ``<results>/new_deposits/<site>/<batch>`` leads to it.

A job reads the plain networks and SVMs from `deposit_models`, and the cleaned images of the new patients from `tem`. It
calls `deposits.evaluate.predict_new_deposits`.
"""

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
        """None: the test images of the study are predicted by `deposit_predictions`."""
        return []

    def new_units(self, plan: PlanView) -> list[str]:
        """The batch of new patients, with each site of `deposits.sites`.

        None without readings of deposits in the study, and none with `predict.package`.
        """
        if plan.package or not plan.new_patients or not deposit_patients(plan):
            return []
        return [str(SiteBatch(site, plan.batch)) for site in plan.config.deposits.sites]

    def stays(self, unit: str) -> bool:
        """A batch that is no longer configured keeps its receipt and link."""
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
        """The section `deposits` and the site; its lists and the path of the weights do not count.

        Fold and seed have their default value: the units under `models` name those that predict. The name of a batch
        does not count.
        """
        return DepositEvaluation(deciding(plan), SiteBatch.parse(unit).site)

    def make(self, job: Job[DepositEvaluation]) -> Mapping[str, object]:
        """Predict all TEM images of the new patients.

        The batch is rejected if it has no usable TEM image, or if no model of the site could be trained.
        """
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
