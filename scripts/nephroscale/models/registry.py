"""Which module builds which family of networks."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nephroscale.errors import NephroscaleError
from nephroscale.models.encoders import registry as encoders

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.models.network import Network

FAMILIES = {
    "cmusnet": "nephroscale.models.cmusnet",
}
"""Family to the module whose `build(settings, shapes, classes)` makes the network; named lazily, so that only the
chosen one is imported and enters a recipe. A new family is one file and one line here."""


def _module_of(settings: Mapping[str, Any]) -> str:
    family = settings.get("family", "cmusnet")
    if family not in FAMILIES:
        raise NephroscaleError(
            f"There is no family of networks {family!r}.",
            where="models: family",
            todo=f"Choose one of: {', '.join(sorted(FAMILIES))}.",
        )
    return FAMILIES[family]


def modules_of(settings: Mapping[str, Any]) -> list[str]:
    """Name the lazily imported modules that a network of these settings is made of, for its recipe."""
    modules = [_module_of(settings)]
    if settings.get("encoder"):
        modules.append(encoders.module_of(settings["encoder"]))
    return modules


def build(settings: Mapping[str, Any], shapes: Mapping[str, tuple[int, int, int]], classes: int) -> Network:
    """Build a network with fresh weights, drawn from torch's global generator.

    Parameters
    ----------
    settings
        An entry of `models` in the configuration.
    shapes
        Modality to the shape of an instance: (h, w, C) of a feature map, or (S, S, 3) of pixels.
    classes
        Number of classes.

    Returns
    -------
    Network
        Its forward pass takes a :class:`~nephroscale.models.batch.Batch`.
    """
    network: Network = import_module(_module_of(settings)).build(settings, shapes, classes)
    return network
