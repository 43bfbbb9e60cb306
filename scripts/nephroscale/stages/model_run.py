"""What the stages with one job per model, fold and seed have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from nephroscale.engine.stage import Need, PlanView, Stage, need
from nephroscale.models.registry import modules_of
from nephroscale.settings import Settings, setting
from nephroscale.stages.model_inputs import (
    features_by_patient,
    features_of,
    fold_patients,
    negative_slots,
    reported_head,
)
from nephroscale.stages.priors import after_without_priors, prior_of
from nephroscale.stages.units import ModelRun

if TYPE_CHECKING:
    from nephroscale.cohort.fold_table import Side
    from nephroscale.engine.job import Job
    from nephroscale.training.fold_data import FoldData
    from nephroscale.training.tem_priors import TemPriors


@dataclass(frozen=True)
class RunSettings(Settings):
    """Settings of the predictions of one trained model."""

    fold: int = setting("Fold.")
    seed: int = setting("Seed of the training.")
    prediction: str = setting("Which head is reported.", "softmax")


class ModelRunStage(Stage):
    """A stage with one job per model, fold and seed, which reads some sides of the fold.

    A job that reads no test patient depends on the training and validation side alone.
    """

    pattern = "{model}/fold{fold}-seed{seed}"
    torch = True
    on_device = True
    #: The sides of the fold whose patients are read.
    sides: ClassVar[tuple[Side, ...]]

    def units(self, plan: PlanView) -> list[str]:
        return [
            str(ModelRun(name, fold, seed))
            for name, model in plan.config.models.items()
            for fold in range(plan.config.folds.total)
            for seed in model.training(plan.config.train).seeds
        ]

    @need("folds")
    def folds(self, plan: PlanView, unit: str) -> Need:
        """The fold: all of it, or its training and validation side."""
        part = f"fold{ModelRun.parse(unit).fold}"
        return Need("folds", "cohort", part=part if "test" in self.sides else f"{part}.train")

    @need("deposit_priors")
    def priors(self, plan: PlanView, unit: str) -> Need | None:
        """The priors of TEM images, and the SVM that gives them, where the model uses them and they could be fitted."""
        model, fold, _ = ModelRun.parse(unit)
        return prior_of(plan, model, fold)

    @need("features", through="folds")
    def features(self, plan: PlanView, unit: str) -> list[Need]:
        """Features of the patients on these sides of the fold."""
        model, fold, _ = ModelRun.parse(unit)
        return features_of(plan, model, fold_patients(plan, fold, *self.sides))

    def after_in(self, plan: PlanView) -> tuple[str, ...]:
        return after_without_priors(self, plan)

    def settings(self, plan: PlanView, unit: str) -> Settings:
        _, fold, seed = ModelRun.parse(unit)
        return RunSettings(fold, seed, reported_head(plan))

    def rows(self, plan: PlanView, unit: str) -> object:
        model, fold, _ = ModelRun.parse(unit)
        return negative_slots(plan, model, fold_patients(plan, fold, *self.sides))

    def modules(self, plan: PlanView, unit: str) -> tuple[str, ...]:
        return tuple(modules_of(plan.config.models[ModelRun.parse(unit).model]))


def fold_data(job: Job[Any], fold: int, priors: TemPriors | None) -> FoldData:
    """The fold of a job, with the features that it declares and the negative markers of its rows."""
    from nephroscale.cohort.fold_table import read_folds
    from nephroscale.training.fold_data import FoldData

    return FoldData(
        read_folds(job.input("folds").object),
        str(fold),
        features_by_patient(job.inputs("features")),
        job.rows or {},
        priors,
    )
