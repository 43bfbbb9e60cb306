"""Full precision for single computations of a network, and square roots that are equal on all processors."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(device: str) -> AbstractContextManager[object]:
    """Switch autocast off, on kinds of device that have it (torch's meta device has none)."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


def square_root(values: Tensor) -> Tensor:
    """Compute square roots of numbers from 0 on, with an error of at most two units in the last place on the CPU.

    `torch.sqrt` calls MKL there, which begins with an approximation that processors of two makers round differently.
    """
    return values.sqrt() if values.is_cuda else values.rsqrt().reciprocal()
