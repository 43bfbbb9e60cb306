"""Numerical precision, memory format and compilation of a network in training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from nephroscale.models.encoders.common import Encoder

if TYPE_CHECKING:
    from nephroscale.models.network import Network
    from nephroscale.training.settings import TrainSettings


def autocast(device: str, precision: str = "auto") -> torch.autocast:
    """Select the precision of forward passes: by default bfloat16 on a GPU that supports it, float32 elsewhere.

    On a CPU, bfloat16 is used only if `precision` requests it: CPUs of one instruction set may differ in bfloat16
    support, but a training has to give the same weights on all of them. SMIL distances and losses are not reduced.
    """
    kind = "cuda" if device.startswith("cuda") else "cpu"
    has = kind == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(kind, torch.bfloat16, enabled=precision == "bfloat16" or (precision == "auto" and has))


def prepare(network: Network, settings: TrainSettings) -> None:
    """Set the memory format of a network's encoders, and compile the network if `compile` is set."""
    for encoder in (module for module in network.modules() if isinstance(module, Encoder)):
        encoder.channels_last = settings.channels_last
        if settings.channels_last or (settings.channels_last is None and next(network.parameters()).is_cuda):
            encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if settings.compile:
        network.compile()
