"""Which module makes which encoder: names only, so that a job imports (and a recipe covers) the chosen one alone."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.features.protocol import Encoder

_HOME = "nephroscale.features.encoders"

# Name in the configuration: module with a function `create(settings, device)`. To add an encoder, write the module
# and add its line. A name ending in a colon stands for a family: what follows the colon is the module's own affair.
ENCODERS: dict[str, str] = {
    "texture": f"{_HOME}.texture",
    "pixels": f"{_HOME}.pixels",
    "swin-b": f"{_HOME}.huggingface",
    "resnet50": f"{_HOME}.huggingface",
    "vit-b": f"{_HOME}.huggingface",
    "dinov2-b": f"{_HOME}.huggingface",
    "huggingface": f"{_HOME}.huggingface",
    "timm:": f"{_HOME}.timm_encoder",
}


def _module_of(settings: Mapping[str, Any]) -> str:
    name = str(settings["name"])
    family = name.partition(":")[0] + ":"
    module = ENCODERS.get(name) if not name.endswith(":") else None
    module = module or (ENCODERS.get(family) if ":" in name and not name.endswith(":") else None)
    if module is None:
        known = ", ".join(n + "<model>" if n.endswith(":") else n for n in ENCODERS)
        raise NephroscaleError(
            f"There is no encoder named {name!r}.", where="features.encoders", todo=f"Choose one of: {known}."
        )
    return module


def modules_of(encoder_settings: Mapping[str, Any]) -> list[str]:
    """Name the modules that the chosen encoder needs, for the recipe's import closure.

    Parameters
    ----------
    encoder_settings
        One entry of `features.encoders`: `name`, `weights`, `digest`, `size_px`.

    Raises
    ------
    NephroscaleError
        When no encoder has this name.
    """
    return [_module_of(encoder_settings)]


def create(encoder_settings: Mapping[str, Any], device: str = "cpu") -> Encoder:
    """Make the chosen encoder.

    Parameters
    ----------
    encoder_settings
        One entry of `features.encoders`: `name`, `weights`, `digest`, `size_px`.
    device
        `cpu` or `cuda`; encoders without torch take no notice.

    Raises
    ------
    NephroscaleError
        When no encoder has this name, or its weights are missing or not those named.
    """
    return importlib.import_module(_module_of(encoder_settings)).create(dict(encoder_settings), device)
