"""Which module builds which encoder."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.models.encoders.common import Encoder

ENCODERS = {
    "small-cnn": "nephroscale.models.encoders.small_cnn",
    "swin-b": "nephroscale.models.encoders.huggingface",
    "resnet50": "nephroscale.models.encoders.huggingface",
    "vit-b": "nephroscale.models.encoders.huggingface",
    "dinov2-b": "nephroscale.models.encoders.huggingface",
    "huggingface": "nephroscale.models.encoders.huggingface",
}
"""Encoder to the module whose `build(settings, size_px)` makes it; named lazily, so that only the chosen one is
imported and enters a recipe."""


def module_of(settings: Mapping[str, Any]) -> str:
    """Name the module of an encoder.

    Parameters
    ----------
    settings
        A model's `encoder` of the configuration.

    Raises
    ------
    NephroscaleError
        When there is no such encoder.
    """
    name = settings.get("name", "small-cnn")
    if name not in ENCODERS:
        raise NephroscaleError(
            f"There is no trainable encoder {name!r}.",
            where="models: encoder: name",
            todo=f"Choose one of: {', '.join(sorted(ENCODERS))}.",
        )
    return ENCODERS[name]


def build_encoder(settings: Mapping[str, Any], size_px: int) -> Encoder:
    """Build an encoder of images of `size_px` pixels a side, with its frozen parts frozen."""
    encoder: Encoder = import_module(module_of(settings)).build(settings, size_px)
    encoder.freeze(settings.get("trainable", "all"))
    return encoder


def describe_encoder(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give an encoder's settings as they are kept with its trained weights: enough to rebuild it, and no path."""
    module = import_module(module_of(settings))
    return module.describe(settings) if hasattr(module, "describe") else dict(settings)
