"""Trained networks on disk: `weights.safetensors`, and `model.json` with what rebuilds the network."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from nephroscale.errors import NephroscaleError
from nephroscale.models.batch import MODALITIES, Shapes
from nephroscale.models.registry import build
from nephroscale.models.settings import ModelSettings, TrainedEncoderSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import Tensor

    from nephroscale.models.network import Network

FORMAT = 3


@dataclass(frozen=True)
class ModelCard:
    """The content of `model.json`: what rebuilds a trained network, and what its predictions need to know.

    Attributes
    ----------
    settings
        Of the model; an encoder in `options` is described by :class:`TrainedEncoderSettings`.
    shapes
        Modality to the shape of its instances in the training.
    slots
        Slots of the IM marker panel.
    classes
        Names of the classes, in the order of their indices.
    fold, seed
        Name of the fold, and seed of the training.
    best_epoch
        Epoch of the weights, counted from 1.
    max_tem_instances
        Most TEM instances of a bag.
    modality_dropout
        Fraction of the modalities that were masked in training.
    standardised
        Whether the network standardises its features; the weights have the scales.
    """

    settings: ModelSettings
    shapes: Shapes
    slots: int
    classes: tuple[str, ...]
    fold: str
    seed: int
    best_epoch: int
    max_tem_instances: int
    modality_dropout: float
    standardised: bool = False

    @property
    def modalities(self) -> list[str]:
        """The modalities that the network reads, in the fixed order."""
        return list(self.shapes)

    @property
    def reads_pixels(self) -> bool:
        """Whether the network has its own encoders, over bags of pixels."""
        return bool(self.settings.options.get("encoder"))

    def to_json(self) -> str:
        """Write the card as text; equal cards give equal text."""
        document = {**vars(self), "settings": self.settings.to_mapping(), "format": FORMAT}
        return json.dumps(document, sort_keys=True, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a card.

        Raises
        ------
        KeyError, TypeError, ValueError
            When the text is not a card of this format.
        """
        document: dict[str, Any] = json.loads(text)
        if document.pop("format") != FORMAT:
            raise ValueError("the format of model.json is another one")
        settings = ModelSettings.from_mapping(document.pop("settings"))
        if encoder := settings.options.get("encoder"):
            described = TrainedEncoderSettings.from_mapping(encoder)
            settings = replace(settings, options={**settings.options, "encoder": described})
        shapes = {name: (int(h), int(w), int(c)) for name, (h, w, c) in document.pop("shapes").items()}
        ordered = {name: shapes[name] for name in MODALITIES if name in shapes}
        return cls(settings=settings, shapes=ordered, classes=tuple(document.pop("classes")), **document)


def save_model(folder: Path, state: Mapping[str, Tensor], card: ModelCard) -> None:
    """Write a network's tensors and its card into an existing folder; equal input gives equal bytes."""
    text = card.to_json()
    tensors = {name: state[name].detach().cpu().contiguous() for name in sorted(state)}
    save_file(tensors, folder / "weights.safetensors", metadata={"nephroscale": text})
    (folder / "model.json").write_text(text, encoding="utf-8")


def load_model(folder: Path, device: str | torch.device = "cpu") -> tuple[Network, ModelCard]:
    """Rebuild a trained network, in evaluation mode.

    Parameters
    ----------
    folder
        Output of :func:`nephroscale.training.fit.fit`.
    device
        Device of the network.

    Returns
    -------
    tuple
        The network and its card.

    Raises
    ------
    NephroscaleError
        When the folder has no such network, or its weights do not fit.
    """
    try:
        card = ModelCard.from_json((Path(folder) / "model.json").read_text(encoding="utf-8"))
        state = load_file(Path(folder) / "weights.safetensors")
        network = build(card.settings, card.shapes, len(card.classes), slots=card.slots, standardise=card.standardised)
        network.load_state_dict(state)
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise NephroscaleError(
            "This is not a trained network that this version can read.",
            where=f"{folder} ({str(error).splitlines()[0]})",
            fix="Train it again.",
        ) from error
    return network.eval().to(device), card
