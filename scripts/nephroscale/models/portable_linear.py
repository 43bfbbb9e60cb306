"""Linear layers by oneDNN: with `compute.instruction_set: portable` MKL's products take four times as long."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor, nn

SMALLEST = 2**14
"""Weights of a layer from which on its products take longer than the calls."""


def use_portable_linear(network: nn.Module) -> None:
    """Let the larger linear layers of a network compute by oneDNN, if MKL is held to its compatible code."""
    if os.environ.get("MKL_CBWR") == "COMPATIBLE" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        for layer in network.modules():
            if type(layer) is nn.Linear and layer.weight.numel() >= SMALLEST:
                layer.__class__ = PortableLinear


class PortableLinear(nn.Linear):
    """A linear layer whose products oneDNN computes, in float32 on the CPU; anything else is torch's."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        """Compute x W' + b of [..., in]: [..., out]."""
        plain = input.dtype is torch.float32 and input.device.type == "cpu" and input.numel()
        if not plain or torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        product: Tensor = _Linear.apply(input, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return product


class _Linear(torch.autograd.Function):
    """The product and its gradients, each by the operator of oneDNN that torch has for its compiler."""

    @staticmethod
    def forward(context: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        context.save_for_backward(rows, weight)
        context.has_bias = bias is not None
        return _product(rows, weight, bias)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        rows, weight = context.saved_tensors
        wanted = context.needs_input_grad
        flat = gradient.flatten(0, -2)
        of_rows = _product(gradient, weight.t()) if wanted[0] else None
        of_weight = _product(flat.t(), rows.flatten(0, -2).t()) if wanted[1] else None
        return of_rows, of_weight, flat.sum(0) if context.has_bias and wanted[2] else None


def _product(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(  # noqa: SLF001
        rows.contiguous(), weight.contiguous(), bias, "none", [], ""
    )
    return product
