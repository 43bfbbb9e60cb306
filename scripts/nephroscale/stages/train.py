"""`train`: the weights of each model, fold and seed, and their predictions for the validation patients.

The artifact is a folder: `weights.safetensors`, the training curve `curve.json`, `model.json`, and `validation.csv`.

The named inputs are declared in `ModelRunStage` (stages/model_run.py): `folds` (the training and validation patients
of the fold), `features` (of these patients) and, with `tem.prior: deposits`, `priors`. The settings are the model's
entry of `models`, and `train`. A job calls `training.fit.fit`, then
`evaluation.evaluate.write_validation_predictions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from nephroscale.engine.job import Job
from nephroscale.engine.stage import PlanView
from nephroscale.features.weights import require_digest
from nephroscale.models.settings import ModelSettings
from nephroscale.settings import Settings, section, setting
from nephroscale.stages.model_inputs import network_settings
from nephroscale.stages.model_run import ModelRunStage, fold_data
from nephroscale.stages.units import ModelRun
from nephroscale.training.settings import TrainSettings

#: Fraction of modalities dropped in training where patients may lack one and `train.modality_dropout` is null.
MODALITY_DROPOUT = 0.2


@dataclass(frozen=True)
class TrainingSettings(Settings):
    """Settings of one training."""

    model: ModelSettings = section(ModelSettings)
    train: TrainSettings = section(TrainSettings)
    fold: int = setting("Fold.", 0)
    seed: int = setting("Decides first weights, order of patients, flips and dropout.", 0)


class Train(ModelRunStage):
    """One job per model, fold and seed. It depends only on the fold's training and validation patients."""

    name = "train"
    rule = "train_model"
    sides = ("train", "validation")

    def settings(self, plan: PlanView, unit: str) -> TrainingSettings:
        """The model's entry of `models`, `train` with the model's own values, the fold and the seed."""
        model, fold, seed = ModelRun.parse(unit)
        train = plan.config.models[model].training(plan.config.train)
        if train.modality_dropout is None:
            masked = plan.config.task.missing_modalities == "mask"
            train = replace(train, modality_dropout=MODALITY_DROPOUT if masked else 0.0)
        return TrainingSettings(network_settings(plan, model), replace(train, seeds=(seed,)), fold, seed)

    def files(self, plan: PlanView, unit: str) -> dict[str, str] | None:
        """No file but the weights of a trained encoder, which the settings name by their digest: required here."""
        model = ModelRun.parse(unit).model
        encoder = plan.config.models[model].options.get("encoder") or {}
        require_digest(encoder.get("weights"), encoder.get("digest"), where=f"models.{model}.encoder")
        return {}

    def make(self, job: Job[TrainingSettings]) -> Mapping[str, object]:
        """Train the network, from its last checkpoint if there is one, and predict the validation patients."""
        from nephroscale.evaluation.evaluate import write_validation_predictions
        from nephroscale.training.checkpoint import Checkpoint
        from nephroscale.training.fit import fit
        from nephroscale.training.tem_priors import read_priors

        settings = job.settings
        model = settings.model
        if model.options.get("encoder"):  # where its weights are is not part of the recipe; their digest is
            configured = job.plan.config.models[ModelRun.parse(job.unit).model].options["encoder"]["weights"]
            model = replace(
                model, options={**model.options, "encoder": {**model.options["encoder"], "weights": configured}}
            )
        fitted = job.optional_input("priors")
        data = fold_data(job, settings.fold, read_priors(fitted.object) if fitted else None)
        figures = fit(
            data,
            model,
            settings.train,
            Checkpoint(job.work, job.recipe_digest),
            seed=settings.seed,
            out=job.out,
            device=job.device,
        )
        write_validation_predictions(data, job.out, job.device)
        return figures


STAGE = Train()
