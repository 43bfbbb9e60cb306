"""Encoders by name. Modules are named, not imported, so that only the chosen one is loaded and enters a recipe."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING

from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from types import ModuleType

    from nephroscale.features.protocol import Encoder
    from nephroscale.features.settings import EncoderSettings

H5 = "h5"
"""Name for bags made elsewhere, which are imported instead of computed."""

ENCODERS = {
    "texture": "nephroscale.features.encoders.texture",
    "pixels": "nephroscale.features.encoders.pixels",
    "efficientnet-lite0": "nephroscale.features.encoders.efficientnet_lite0",
    "swin-b": "nephroscale.features.encoders.huggingface",
    "resnet18": "nephroscale.features.encoders.huggingface",
    "resnet50": "nephroscale.features.encoders.huggingface",
    "vit-b": "nephroscale.features.encoders.huggingface",
    "dinov2-b": "nephroscale.features.encoders.huggingface",
    "huggingface": "nephroscale.features.encoders.huggingface",
    "timm:": "nephroscale.features.encoders.timm_encoder",
    H5: "nephroscale.features.import_h5",
}
"""Encoder to its module, which has `create(settings, device)`; the module of `h5` has `import_h5` instead. A name that
ends in a colon is a family: the module reads what follows the colon."""


def module_of(name: str) -> str:
    """Name the module of an encoder.

    Raises
    ------
    NephroscaleError
        When the encoder is unknown.
    """
    family, colon, member = name.partition(":")
    module = ENCODERS.get(family + colon) if member or not colon else None
    if module is None:
        known = ", ".join(n + "<model>" if n.endswith(":") else n for n in ENCODERS)
        raise NephroscaleError(
            f"There is no encoder named {name!r}.", where="features.encoders", fix=f"Choose one of: {known}."
        )
    return module


def modules_of(settings: EncoderSettings) -> list[str]:
    """List the modules of the chosen encoder, for the recipe's code closure.

    Raises
    ------
    NephroscaleError
        When the encoder is unknown.
    """
    return [module_of(settings.name)]


def load_module(name: str) -> ModuleType:
    """Import the module of an encoder.

    Raises
    ------
    NephroscaleError
        When the encoder is unknown.
    """
    return import_module(module_of(name))


def create(settings: EncoderSettings, device: str = "cpu") -> Encoder:
    """Create the chosen encoder.

    Parameters
    ----------
    settings
        Name, weights and image size.
    device
        `cpu` or `cuda`; encoders without torch ignore it.

    Raises
    ------
    NephroscaleError
        When the encoder is unknown, or its weights are missing or have another digest.
    """
    encoder: Encoder = load_module(settings.name).create(settings, device)
    return encoder


kept = lru_cache(maxsize=1)(create)
"""The same, but the last encoder is kept: one process encodes the bags of many patients, one after the other."""
