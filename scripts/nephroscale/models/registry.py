"""Families of networks by name, and how the settings of a model become a network."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from nephroscale.errors import NephroscaleError
from nephroscale.models.batch import MODALITIES, Shapes
from nephroscale.models.encoders.registry import module_of_encoder
from nephroscale.models.settings import ModelSettings, TrainedEncoderSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nephroscale.models.network import Network
    from nephroscale.settings import Settings

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
"""Family to its module, which has a class of settings `Config` and the network's class `NETWORK`. Modules are imported
by name, so that only the chosen one is loaded and enters a recipe. A new family is one file and one line here."""


def config_of(family: str) -> type[Settings]:
    """Import a family's module and return its class of settings, for the keys that only this family reads.

    Raises
    ------
    NephroscaleError
        When the family is unknown.
    """
    config: type[Settings] = import_module(_module_of(family)).Config
    return config


def modules_of(settings: ModelSettings) -> list[str]:
    """Name the modules that are imported by name to build a model: they belong to its recipe."""
    encoder = settings.options.get("encoder")
    trained = [module_of_encoder(TrainedEncoderSettings.from_mapping(encoder).name)] if encoder else []
    return [_module_of(settings.family), *trained]


def build(
    settings: ModelSettings, shapes: Shapes, classes: int, *, slots: int = 1, standardise: bool = False
) -> Network:
    """Build a network with new weights, drawn from torch's global generator.

    Parameters
    ----------
    settings
        The model; its `options` become the `Config` of its family.
    shapes
        Modality to the shape of an instance: (h, w, C) of a feature map, or (S, S, 3) of pixels. Modalities that the
        model does not read are ignored.
    classes
        Number of classes.
    slots
        Slots of the IM marker panel, as found in the data.
    standardise
        Whether the network standardises its features, for any family alike. The scales are to be set or loaded.

    Returns
    -------
    Network
        Its forward pass takes a :class:`~nephroscale.models.batch.Batch`.

    Raises
    ------
    NephroscaleError
        When the family is unknown, or a modality of the model has no shape.
    """
    from nephroscale.models.portable_linear import use_portable_linear
    from nephroscale.models.standardisation import Standardisation

    config = config_of(settings.family).from_mapping(settings.options)
    kind = import_module(_module_of(settings.family)).NETWORK
    panel = {"slots": slots} if kind.reads_slots else {}
    shapes = select_modalities(shapes, settings.modalities)
    network: Network = kind(shapes, classes, config, **panel)
    if standardise:
        network.standardisation = Standardisation(shapes)
    use_portable_linear(network)
    return network


def select_modalities(shapes: Shapes, modalities: Iterable[str]) -> Shapes:
    """Select the shapes of a model's modalities, in the fixed order of modalities.

    Raises
    ------
    NephroscaleError
        When a modality has no shape.
    """
    if missing := [name for name in modalities if name not in shapes]:
        raise NephroscaleError(
            f"No patient has features of {', '.join(missing)}, which the model reads.",
            where="models: modalities",
            fix="See in `nephroscale status` why their images were rejected, or remove the modality from the model.",
        )
    return {name: shapes[name] for name in MODALITIES if name in modalities}


def _module_of(family: str) -> str:
    if family not in FAMILIES:
        raise NephroscaleError(
            f"There is no family of networks {family!r}.",
            where="models: family",
            fix=f"Choose one of: {', '.join(sorted(FAMILIES))}.",
        )
    return FAMILIES[family]
