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
    "mean-pooling": "nephroscale.models.mil.mean_pooling",
    "max-pooling": "nephroscale.models.mil.max_pooling",
    "abmil": "nephroscale.models.mil.abmil",
    "clam-sb": "nephroscale.models.mil.clam_sb",
    "transmil": "nephroscale.models.mil.transmil",
    "dsmil": "nephroscale.models.mil.dsmil",
    "sc-mil": "nephroscale.models.mil.sc_mil",
    "mhim-mil": "nephroscale.models.mil.mhim_mil",
    "late-voting": "nephroscale.models.fusion.late_voting",
    "concatenation": "nephroscale.models.fusion.concatenation",
    "self-attention": "nephroscale.models.fusion.self_attention",
    "cross-modal-attention": "nephroscale.models.fusion.cross_modal_attention",
    "modality-attention": "nephroscale.models.fusion.modality_attention",
    "mmformer": "nephroscale.models.fusion.mmformer",
}
"""Family to the module whose `build(settings, shapes, classes)` makes the network; named lazily, so that only the
chosen one is imported and enters a recipe. A new family is one file, one line here and one in `READS`."""

_EMBEDDING = ("embedding", "embedding_dropout", "encoder")
_ATTENTION = ("gated", "attention_width")
_FUSION = ("threshold", "pooling", "hidden", "dropout", "encoder")

READS = {
    "cmusnet": (
        *("variant", "attention", "threshold", "pooling", "heads"),
        *("hidden", "dropout", "loss_weights", "ordinal", "encoder"),
    ),
    "mean-pooling": _EMBEDDING,
    "max-pooling": _EMBEDDING,
    "abmil": (*_EMBEDDING, *_ATTENTION),
    "clam-sb": (*_EMBEDDING, *_ATTENTION, "instance_loss"),
    "transmil": (*_EMBEDDING, "heads"),
    "dsmil": (*_EMBEDDING, "attention_width"),
    "sc-mil": (*_EMBEDDING, *_ATTENTION, "contrast"),
    "mhim-mil": (*_EMBEDDING, *_ATTENTION, "masking"),
    "late-voting": _FUSION,
    "concatenation": _FUSION,
    "self-attention": (*_FUSION, "heads"),
    "cross-modal-attention": (*_FUSION, "heads"),
    "modality-attention": _FUSION,
    "mmformer": (*_FUSION, "heads", "loss_weights"),
}
"""Family to the keys of its entry of `models` that it reads, besides those that every entry has (`COMMON`). Another
key is an error when the configuration is loaded, and has no default in a recipe."""

COMMON = ("family", "modalities", "train")
"""Keys of an entry of `models` that the workflow reads, whatever the family."""


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
