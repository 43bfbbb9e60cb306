"""What was trained: encoders and their weights, learning rate, epochs and parameters of each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from nephroscale.features.settings import EncodersSettings
from nephroscale.models.settings import ModelSettings, TrainableEncoderSettings
from nephroscale.reporting.report_inputs import UnitOutcome
from nephroscale.reporting.study_values import Trained
from nephroscale.training.settings import TrainSettings

IMAGENET = "efficientnet-lite0"
"""The encoder whose weights come with the workflow, and need no digest in the configuration."""

FINE_TUNED = {"all": "fine-tuned", "last": "its last part fine-tuned", "none": "frozen"}


def describe_training(
    name: str, model: ModelSettings, encoders: EncodersSettings, train: TrainSettings, trainings: Sequence[UnitOutcome]
) -> Trained:
    """Describe one model.

    Parameters
    ----------
    name, model
        The model and its settings.
    encoders
        Encoders of the features.
    train
        Settings of its training.
    trainings
        Outcomes of the stage `train` of all models.
    """
    figures = [unit.figures for unit in trainings if unit.accepted and unit.name.startswith(f"{name}/")]
    best, parameters = (
        [value for each in figures if isinstance(value := each.get(key), int)] for key in ("best_epoch", "parameters")
    )
    configured = model.options.get("encoder")
    own = TrainableEncoderSettings.from_mapping(configured) if configured else None
    return Trained(
        family=model.family,
        encoders={
            modality: describe_own_encoder(own)
            if own and encoders.of(modality).name == "pixels"
            else describe_encoder(encoders.of(modality).name, encoders.of(modality).digest)
            for modality in model.modalities
        },
        encoder_trained=own is not None and own.trainable != "none",
        learning_rate=train.learning_rate,
        final_learning_rate=train.final_learning_rate,
        weight_decay=train.weight_decay,
        batch_size=train.batch_size,
        epochs=train.epochs,
        patience=train.patience,
        best_epochs=[min(best), max(best)] if best else [],
        parameters=max(parameters, default=None),
        standardised=train.standardise and own is None,
    )


def describe_encoder(name: str, digest: str | None) -> str:
    """Describe an encoder of features, which no training changes."""
    words = {
        "texture": "texture (filter bank without weights)",
        "pixels": "the pixels themselves",
        "h5": "features made elsewhere, by an encoder that this report does not know",
        IMAGENET: f"{IMAGENET} (ImageNet weights), frozen",
    }
    return words.get(name, f"{name} (weights {digest[:12] if digest else 'without a digest'}), frozen")


def describe_own_encoder(own: TrainableEncoderSettings) -> str:
    """Describe an encoder that is a part of the model."""
    start = (
        f"weights {own.digest[:12]}" if own.digest else "ImageNet weights" if own.name == IMAGENET else "random weights"
    )
    return f"{own.name} ({start}), {FINE_TUNED[own.trainable]}"


def describe_missing_twins(models: Mapping[str, ModelSettings], headline: str | None) -> list[str]:
    """State what to list where the effect of the prior of TEM images cannot be seen in the report.

    Parameters
    ----------
    models
        The models; `tem_prior` is true where the prior was used.
    headline
        The model with which the others are compared, if it is known.
    """
    own = models[headline] if headline else None
    if own is None or not own.options.get("tem_prior"):
        return []
    twin = replace(own, options={**own.options, "tem_prior": False})
    if twin in models.values():
        return []
    return [
        (
            f"{headline} uses the probability of deposits as a prior of TEM images (tem.prior). To see whether "
            "this helps, list the same model with tem_prior: false, too: the paired comparison shows the difference."
        )
    ]
