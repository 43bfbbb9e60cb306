"""`deposit_priors`: probabilities of deposits, as the prior of TEM images in the diagnosis.

The artifact of a fold is a folder: `priors.json` (`images`: image id to prior, and `mean`, the prior of all other
images), the SVM (`svm.safetensors`, `svm.json`) that gives the priors of other patients, and `prior.json` (its
settings, and the mean). Training patients with labelled images have priors of SVMs that were fitted without them. It is
in the store; the link ``<results>/deposit_priors/fold<n>`` leads to it.

A job reads the training and validation sides from `deposit_folds` (with the readings) and from `folds`, and the cleaned
images of these patients from `tem`. It calls `deposits.priors.fit_priors`.
"""

from __future__ import annotations

from collections.abc import Mapping

from nephroscale.engine.job import Job
from nephroscale.engine.stage import Need, PlanView, need
from nephroscale.stages.deposit_models import DepositStage, DepositTraining, bags_of, deciding, tem_of, with_weights
from nephroscale.stages.model_inputs import fold_patients, uses_prior
from nephroscale.stages.patients import deposit_patients
from nephroscale.stages.priors import backbone_files


class DepositPriors(DepositStage):
    """One job per fold, where a model uses the prior. It depends only on the fold's training and validation patients.

    The prior of a test patient is computed where the patient is predicted.
    """

    name = "deposit_priors"
    rule = "fit_deposit_priors"
    pattern = "fold{fold}"

    def units(self, plan: PlanView) -> list[str]:
        """Each fold, if a model uses the prior (`tem.prior: deposits`) and patients have readings of deposits."""
        if not deposit_patients(plan) or not any(uses_prior(plan, model) for model in plan.config.models):
            return []
        return [f"fold{fold}" for fold in range(plan.config.folds.n_folds)]

    @need("deposit_folds")
    def folds(self, plan: PlanView, unit: str) -> Need:
        """The training and validation side of the fold, with their readings."""
        return Need("deposit_folds", "cohort", part=f"{unit}.train")

    @need("folds")
    def diagnosis(self, plan: PlanView, unit: str) -> Need:
        """The same sides in the diagnosis, whose patients may have no readings."""
        return Need("folds", "cohort", part=f"{unit}.train")

    @need("tem", through="folds")
    def tem(self, plan: PlanView, unit: str) -> list[Need]:
        """The cleaned images of the patients on these sides."""
        fold = int(unit.removeprefix("fold"))
        return list(
            dict.fromkeys(
                [
                    *tem_of(plan, fold, "train", "validation"),
                    *[Need("tem", each, optional=True) for each in fold_patients(plan, fold, "train", "validation")],
                ]
            )
        )

    def settings(self, plan: PlanView, unit: str) -> DepositTraining:
        """The settings of an SVM in `deposit_models`: for the first site and the first seed of `deposits`.

        Other sites and seeds, and the path of the weights of the backbone, do not count.
        """
        settings = plan.config.deposits
        return DepositTraining(
            deciding(plan), settings.sites[0], "svm", int(unit.removeprefix("fold")), settings.seeds[0]
        )

    def files(self, plan: PlanView, unit: str) -> dict[str, str] | None:
        """No file but the weights of the backbone, which the settings name by their digest: required here."""
        return backbone_files(plan)

    def make(self, job: Job[DepositTraining]) -> Mapping[str, object]:
        """Fit the SVM on the labelled images of the training patients, and give the priors of both sides.

        The fold is rejected if no training patient has a labelled image, or if fewer than two persons have, or do not
        have, images with deposits.
        """
        from nephroscale.deposits.folds import read_deposit_folds
        from nephroscale.deposits.priors import fit_priors
        from nephroscale.deposits.train import Task

        task = Task(
            read_deposit_folds(job.input("folds").object),
            str(job.settings.fold),
            job.settings.site,
            job.settings.variant,
            job.settings.seed,
        )
        return fit_priors(task, bags_of(job), with_weights(job, job.settings.deposits), out=job.out, device=job.device)


STAGE = DepositPriors()
