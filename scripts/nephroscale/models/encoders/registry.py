"""Trainable encoders by name."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

from nephroscale.errors import NephroscaleError
from nephroscale.models.settings import TrainableEncoderSettings, TrainedEncoderSettings

if TYPE_CHECKING:
    from nephroscale.models.encoders.common import Encoder

ENCODERS = {
    "small-cnn": "nephroscale.models.encoders.small_cnn",
    "efficientnet-lite0": "nephroscale.models.encoders.efficientnet_lite0",
    "swin-b": "nephroscale.models.encoders.huggingface",
    "resnet18": "nephroscale.models.encoders.huggingface",
    "resnet50": "nephroscale.models.encoders.huggingface",
    "vit-b": "nephroscale.models.encoders.huggingface",
    "dinov2-b": "nephroscale.models.encoders.huggingface",
    "huggingface": "nephroscale.models.encoders.huggingface",
}
"""Encoder to its module, which has `build(settings, size_px)` and `architecture_of(settings)`. Modules are imported by
name, so that only the chosen one is loaded and enters a recipe."""


def module_of_encoder(name: str) -> str:
    """Name the module of an encoder.

    Raises
    ------
    NephroscaleError
        When the encoder is unknown.
    """
    if name not in ENCODERS:
        raise NephroscaleError(
            f"There is no trainable encoder {name!r}.",
            where="models: encoder: name",
            fix=f"Choose one of: {', '.join(sorted(ENCODERS))}.",
        )
    return ENCODERS[name]


def build_encoder(settings: TrainableEncoderSettings, size_px: int) -> Encoder:
    """Build an encoder for images of `size_px` pixels a side, with its frozen parts frozen."""
    encoder: Encoder = import_module(module_of_encoder(settings.name)).build(settings, size_px)
    encoder.freeze(settings.trainable)
    return encoder


def describe_encoder(settings: TrainableEncoderSettings) -> TrainedEncoderSettings:
    """Describe an encoder for `model.json`: without the path of its first weights, with what rebuilds it."""
    if isinstance(settings, TrainedEncoderSettings):
        return settings
    module = import_module(module_of_encoder(settings.name))
    described = TrainedEncoderSettings.from_mapping({**settings.to_mapping(), "weights": None})
    return replace(described, architecture=module.architecture_of(settings))
