"""`train`: the weights of each model, fold and seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nephroscale.engine.stage import Need, PlanView, Stage, need
from nephroscale.features.weights import require_digest
from nephroscale.models.registry import modules_of
from nephroscale.models.settings import ModelSettings
from nephroscale.settings import Settings, section, setting
from nephroscale.stages.model_inputs import (
    features_of,
    fold_data,
    fold_patients,
    model_runs,
    negative_slots,
    network_settings,
)
from nephroscale.stages.units import ModelRun
from nephroscale.training.settings import TrainSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.engine.job import Job

#: Fraction of modalities dropped in training where patients may lack one and `train.modality_dropout` is null.
MODALITY_DROPOUT = 0.2


@dataclass(frozen=True)
class TrainingSettings(Settings):
    """What decides one training beside the patients and their features."""

    model: ModelSettings = section(ModelSettings)
    train: TrainSettings = section(TrainSettings)
    fold: int = setting("Fold.", 0)
    seed: int = setting("Decides first weights, order of patients, flips and dropout.", 0)


class Train(Stage):
    """One job per model, fold and seed. It depends on the fold's training and validation patients alone."""

    name = "train"
    rule = "train_model"
    pattern = "{model}/fold{fold}-seed{seed}"
    torch = True

    def units(self, plan: PlanView) -> list[str]:
        return model_runs(plan)

    @need("folds")
    def folds(self, plan: PlanView, unit: str) -> Need:
        """The training and validation side of the fold."""
        return Need("folds", "cohort", part=f"fold{ModelRun.parse(unit).fold}.train")

    @need("features", through="folds")
    def features(self, plan: PlanView, unit: str) -> list[Need]:
        """Features of the fold's training and validation patients."""
        return features_of(plan, ModelRun.parse(unit).model, fold_patients(plan, unit, "train", "validation"))

    def settings(self, plan: PlanView, unit: str) -> TrainingSettings:
        model, fold, seed = ModelRun.parse(unit)
        train = plan.config.models[model].training(plan.config.train)
        if train.modality_dropout is None:
            masked = plan.config.task.missing_modalities == "mask"
            train = replace(train, modality_dropout=MODALITY_DROPOUT if masked else 0.0)
        return TrainingSettings(network_settings(plan, model), replace(train, seeds=(seed,)), fold, seed)

    def rows(self, plan: PlanView, unit: str) -> object:
        return negative_slots(plan, ModelRun.parse(unit).model, fold_patients(plan, unit, "train", "validation"))

    def files(self, plan: PlanView, unit: str) -> dict[str, str] | None:
        model = ModelRun.parse(unit).model
        encoder = plan.config.models[model].options.get("encoder") or {}
        require_digest(encoder.get("weights"), encoder.get("digest"), where=f"models.{model}.encoder")
        return {}

    def modules(self, plan: PlanView, unit: str) -> tuple[str, ...]:
        return tuple(modules_of(plan.config.models[ModelRun.parse(unit).model]))

    def make(self, job: Job) -> Mapping[str, object]:
        from nephroscale.training.checkpoint import Checkpoint
        from nephroscale.training.fit import fit

        settings = job.settings
        assert isinstance(settings, TrainingSettings)
        model = settings.model
        if model.options.get("encoder"):  # where its weights are is not part of the recipe; their digest is
            configured = job.plan.config.models[ModelRun.parse(job.unit).model].options["encoder"]["weights"]
            model = replace(
                model, options={**model.options, "encoder": {**model.options["encoder"], "weights": configured}}
            )
        data = fold_data(job, settings.fold)
        return fit(
            data,
            model,
            settings.train,
            Checkpoint(job.work, job.recipe_digest),
            seed=settings.seed,
            out=job.out,
            device=job.device,
        )


STAGE = Train()
