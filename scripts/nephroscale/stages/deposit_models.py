"""`deposit_models`: each model of electron-dense deposits, for each site, fold and seed.

The artifact is a folder: of the plain network `weights.safetensors` and `curve.json`, of an SVM `svm.safetensors` and
`svm.json`; and `validation.csv` (`image_id, deposits, probability`), its predictions for the labelled images of the
validation side. It is in the store; the link ``<results>/deposit_models/<site>-<variant>/fold<n>-seed<m>`` leads to it.

A job reads the training and validation side of the fold from `deposit_folds`, with the readings, and the cleaned images
of these patients from `tem`. It calls `deposits.train.train_deposits`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nephroscale.cohort.fold_table import Side
from nephroscale.deposits.folds import DepositFolds
from nephroscale.deposits.settings import DepositsSettings
from nephroscale.engine.job import Job
from nephroscale.engine.stage import Need, PlanView, Stage, need
from nephroscale.settings import Settings, section, setting
from nephroscale.stages.patients import deposit_patients
from nephroscale.stages.priors import backbone_files, backbone_modules
from nephroscale.stages.units import DepositRun


@dataclass(frozen=True)
class DepositTraining(Settings):
    """Settings of one training."""

    deposits: DepositsSettings = section(DepositsSettings)
    site: str = setting("Site asked for, or any.", "any")
    variant: str = setting("Which model.", "plain")
    fold: int = setting("Fold.", 0)
    seed: int = setting("Seed of the training.", 0)


class DepositStage(Stage):
    """A stage that computes with the network on deposits."""

    torch = True
    on_device = True

    def modules(self, plan: PlanView, unit: str) -> tuple[str, ...]:
        """The module of the encoder, if the backbone is a ResNet: it is imported by name."""
        return backbone_modules(plan)


class DepositModels(DepositStage):
    """One job per site, variant, fold and seed. It depends only on the training and validation patients of the fold."""

    name = "deposit_models"
    rule = "train_deposits"
    pattern = "{site}-{variant}/fold{fold}-seed{seed}"

    def units(self, plan: PlanView) -> list[str]:
        """Each site of `deposits.sites`, with each variant, fold and seed; none without readings of deposits.

        New patients are predicted by `new_deposits`.
        """
        if not deposit_patients(plan):
            return []
        settings = plan.config.deposits
        return [
            str(DepositRun(site, variant, fold, seed))
            for site in settings.sites
            for variant in settings.variants
            for fold in range(plan.config.folds.n_folds)
            for seed in settings.seeds
        ]

    @need("deposit_folds")
    def folds(self, plan: PlanView, unit: str) -> Need:
        """The training and validation side of the fold."""
        return Need("deposit_folds", "cohort", part=f"fold{DepositRun.parse(unit).fold}.train")

    @need("tem", through="folds")
    def tem(self, plan: PlanView, unit: str) -> list[Need]:
        """The cleaned images of the patients on these sides."""
        return tem_of(plan, DepositRun.parse(unit).fold, "train", "validation")

    def settings(self, plan: PlanView, unit: str) -> DepositTraining:
        """The section `deposits`, and the unit's site, variant, fold and seed.

        Of `deposits`, the lists `sites`, `variants` and `seeds` do not count: one more entry retrains no other model.
        Neither does the path of the weights of the backbone; their `digest` does.
        """
        site, variant, fold, seed = DepositRun.parse(unit)
        return DepositTraining(deciding(plan), site, variant, fold, seed)

    def files(self, plan: PlanView, unit: str) -> dict[str, str] | None:
        """No file but the weights of the backbone, which the settings name by their digest: required here."""
        return backbone_files(plan)

    def make(self, job: Job[DepositTraining]) -> Mapping[str, object]:
        """Fit the variant on the labelled images of the training side, and predict the validation side.

        A plain network continues from its last checkpoint if there is one. The fold is rejected if its training side
        lacks images with or without deposits, or if the validation side has no labelled image. That of an SVM is also
        rejected with fewer than two persons with, or without, deposits.
        """
        from nephroscale.deposits.folds import read_deposit_folds
        from nephroscale.deposits.train import Task, train_deposits
        from nephroscale.training.checkpoint import Checkpoint

        return train_deposits(
            Task(
                read_deposit_folds(job.input("folds").object),
                str(job.settings.fold),
                job.settings.site,
                job.settings.variant,
                job.settings.seed,
            ),
            bags_of(job),
            with_weights(job, job.settings.deposits),
            Checkpoint(job.work, job.recipe_digest),
            out=job.out,
            device=job.device,
            log=print,
        )


def deciding(plan: PlanView) -> DepositsSettings:
    """The settings that decide a model: without the lists of what is asked for, and the location of weights."""
    settings = plan.config.deposits
    return replace(settings, sites=(), variants=(), seeds=(), backbone=replace(settings.backbone, weights=None))


def with_weights(job: Job[Any], settings: DepositsSettings) -> DepositsSettings:
    """Add the location of the weights, which is not part of the recipe."""
    return replace(settings, backbone=replace(settings.backbone, weights=job.plan.config.deposits.backbone.weights))


def tem_of(plan: PlanView, fold: int, *sides: Side) -> list[Need]:
    """The cleaned images of the patients on some sides of a fold; none while the folds are not made."""
    folds = read_deposit_fold_table(plan)
    if folds is None or fold >= len(folds.folds):
        return []
    return [Need("tem", patient, optional=True) for side in sides for patient in folds.side(str(fold), side)]


def read_deposit_fold_table(plan: PlanView) -> DepositFolds | None:
    """The folds, or None where they are not made."""
    from nephroscale.deposits import folds

    return plan.read_object("deposit_folds", "cohort", folds.DepositFolds.from_mapping, folds.FILE)


def bags_of(job: Job[Any]) -> dict[str, Path]:
    """Patient to cleaned images; without patients who have none that can be used."""
    return {each.unit: each.path for each in job.inputs("tem") if each.path}


STAGE = DepositModels()
