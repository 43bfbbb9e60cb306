"""Settings of the networks to train that all families share; each family has its own `Config` beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, TypeVar

from nephroscale.settings import Schema, Settings, setting

Modality = Literal["TEM", "OM", "IM"]
Architecture = Mapping[str, Any]
"""What rebuilds a network of the transformers library without its weights: `kind`, `layout`, `mean`, `std`."""

S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class TrainableEncoderSettings(Settings):
    """An encoder trained with the model, over pixel bags."""

    name: str = setting(
        "`small-cnn` (starts from random weights), `efficientnet-lite0` (from ImageNet weights that `make setup` "
        "prepares), or a network of the transformers library: `swin-b`, `resnet50`, `vit-b`, `dinov2-b`, or "
        "`huggingface` for the architecture that the config.json beside the weights describes.",
        "small-cnn",
    )
    weights: str | None = setting(
        "Local safetensors file or Hugging Face folder that the encoder starts from, or a config.json, to start from "
        "scratch.",
        None,
    )
    digest: str | None = setting(
        "BLAKE3 digest that the weights must have; `nephroscale weights digest PATH` prints it.", None
    )
    trainable: Literal["all", "last", "none"] = setting(
        "What is fine-tuned: everything, the last stage or block with the final norm, or nothing. In frozen parts, "
        "normalisation layers keep their stored statistics.",
        "all",
    )
    width: int = setting("Channels of the feature map of `small-cnn`.", 64, minimum=8)


@dataclass(frozen=True)
class TrainedEncoderSettings(TrainableEncoderSettings):
    """An encoder as `model.json` keeps it: rebuilt from its architecture, since its weights are those of the model."""

    architecture: Architecture | None = setting("Architecture of a network of transformers.", None)


@dataclass(frozen=True)
class ModelSettings(Settings):
    """One network to train.

    In the configuration the keys of the family are written beside the other keys. Here they are in `options`: plain
    JSON values that were checked against the schema of the family's own `Config` class. Only the jobs that build the
    network import that class, since it imports torch.
    """

    family: str = setting("Kind of network; docs/models.md describes the families.", "cmusnet")
    modalities: tuple[Modality, ...] = setting(
        "Modalities that the model reads.", ("TEM", "OM", "IM"), min_items=1, unique=True
    )
    train: Mapping[str, Any] = setting("Keys of `train` with other values for this model.", {})
    options: Mapping[str, Any] = setting("Keys of the family.", {})

    @classmethod
    def schema(cls) -> Schema:
        """Give the JSON schema of the keys that every model has, whatever its family."""
        described = super().schema()
        del described["properties"]["options"]
        return described

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Make the settings of one entry of `models`; keys that are not common to all families are options."""
        common = {key: value for key, value in mapping.items() if key in COMMON_KEYS}
        return super().from_mapping(
            {**common, "options": {key: value for key, value in mapping.items() if key not in COMMON_KEYS}}
        )

    def to_mapping(self) -> dict[str, Any]:
        """Give the entry of `models` as it is written in the configuration."""
        common = super().to_mapping()
        options: dict[str, Any] = common.pop("options")
        return common | options

    def training(self, base: S) -> S:
        """Give the section `train` with the keys that differ for this model.

        Parameters
        ----------
        base
            The section, a :class:`~nephroscale.training.settings.TrainSettings`.
        """
        return type(base).from_mapping({**base.to_mapping(), **self.train})


COMMON_KEYS = tuple(each.name for each in fields(ModelSettings) if each.name != "options")
"""Keys of an entry of `models` that every family has."""
