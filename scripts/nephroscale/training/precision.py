"""How a network is trained: the keys of `train`, their defaults, and what they mean to torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from nephroscale.errors import NephroscaleError
from nephroscale.models.encoders.common import Encoder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nephroscale.models.network import Network
    from nephroscale.training.data import Bag

DEFAULTS: dict[str, Any] = {
    "epochs": 40,
    "patience": 40,
    "batch": 4,
    "learning_rate": 5e-5,
    "final_learning_rate": 5e-6,
    "weight_decay": 5e-5,
    "flips": True,
    "maximum_instances": 10,
    "loss": "cross_entropy",
    "focal_gamma": 2.0,
    "class_weights": "none",
    "modality_dropout": 0.0,
    "precision": "auto",
    "channels_last": None,
    "compile": False,
}


def read_settings(train: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    """Join `train` of the configuration with what a model says otherwise.

    Raises
    ------
    NephroscaleError
        When there is a key that nothing reads.
    """
    given = {**{key: value for key, value in train.items() if key != "seeds"}, **model.get("train", {})}
    unknown = sorted(set(given) - set(DEFAULTS))
    if unknown:
        raise NephroscaleError(
            f"Nothing reads these keys of the training: {', '.join(unknown)}.",
            where="train, or a model's train",
            todo=f"Known are {', '.join(sorted(DEFAULTS))}.",
        )
    settings = {**DEFAULTS, **given}
    settings["modality_dropout"] = settings["modality_dropout"] or 0.0  # null: the workflow has decided for none
    return settings


def autocast(device: str, precision: str = "auto") -> torch.autocast:
    """Give the precision of forward passes: bfloat16 on a GPU that has it, unless the settings say otherwise.

    A CPU computes in bfloat16 only where that is asked for: not every CPU of an instruction set has it, and a training
    has to end with the same weights on all of them. SMIL's distances and the losses keep their precision.
    """
    kind = "cuda" if device.startswith("cuda") else "cpu"
    has = kind == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(kind, torch.bfloat16, enabled=precision == "bfloat16" or (precision == "auto" and has))


def prepare(network: Network, settings: Mapping[str, Any]) -> None:
    """Set a network's memory format, and have it compiled where that is asked for."""
    encoders: list[Any] = [module for module in network.modules() if isinstance(module, Encoder)]
    for encoder in encoders:
        encoder.channels_last = settings["channels_last"]
        if settings["channels_last"] or (settings["channels_last"] is None and next(network.parameters()).is_cuda):
            encoder.to(memory_format=torch.channels_last)
    if settings["compile"]:
        network.compile()


def class_counts(bags: Sequence[Bag], classes: int) -> list[float]:
    """Count the patients of each class; who lies between two classes counts half for each."""
    counts = [0.0] * classes
    for bag in bags:
        for label in (bag.label, bag.label if bag.second is None else bag.second):
            counts[label] += 0.5
    return counts
