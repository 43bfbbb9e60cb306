"""Settings of the networks to train, as far as the workflow reads them; the rest belongs to each family's `Config`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nephroscale.settings import Settings, setting

Modality = Literal["TEM", "OM", "IM"]


@dataclass(frozen=True)
class TrainableEncoderSettings(Settings):
    """An encoder trained with the model, over pixel bags."""

    name: str = setting(
        "`small-cnn` (needs no weights), or a network of transformers: `swin-b`, `resnet50`, `vit-b`, `dinov2-b`, or "
        "`huggingface` for what config.json beside the weights describes.",
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
        "What is fine-tuned: everything, the last stage or block with the final norm, or nothing. Frozen parts keep "
        "their norms' statistics.",
        "all",
    )
    width: int = setting("Channels of the feature map, where the encoder leaves a choice.", 64, minimum=8)


@dataclass(frozen=True)
class ModelSettings(Settings):
    """One network to train.

    The keys of a family stand beside these in the configuration; `options` holds them, checked against the schema made
    from the family's own `Config` class, which is imported (with torch) only by the jobs that build the network.
    """

    family: str = setting("Kind of network, as docs/models.md lists them.", "cmusnet")
    modalities: tuple[Modality, ...] = setting("Inputs of the model.", ("TEM", "OM", "IM"), min_items=1, unique=True)
    train: Mapping[str, Any] = setting("Keys of `train` that differ for this model.", {})
    options: Mapping[str, Any] = setting("Keys of the family, beside the others in the configuration.", {})
