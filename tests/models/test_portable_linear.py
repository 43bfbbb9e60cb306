"""Linear layers by oneDNN compute what torch's do, and are used only where MKL is slow."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nephroscale.models.portable_linear import SMALLEST, PortableLinear, use_portable_linear


def gradients(layer: nn.Linear, rows: torch.Tensor) -> list[torch.Tensor]:
    """The product of a layer, and the gradients of a function of it."""
    rows = rows.clone().requires_grad_()
    product = layer(rows)
    (product * torch.linspace(-1, 1, product.numel()).reshape(product.shape)).sum().backward()
    found = [product.detach(), rows.grad, *(weights.grad for weights in layer.parameters())]
    return [each.clone() for each in found]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(6, 40), (2, 7, 40), (0, 40)])
def test_product_and_gradients_are_those_of_torch(shape, bias):
    torch.manual_seed(1)
    layer = nn.Linear(40, 24, bias=bias)
    rows = torch.randn(shape)
    expected = gradients(layer, rows)
    layer.zero_grad()
    layer.__class__ = PortableLinear
    assert len(expected) == 3 + bias
    for found, wanted in zip(gradients(layer, rows), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_frozen_weights_get_no_gradient():
    layer = PortableLinear(8, 8)
    layer.weight.requires_grad_(False)
    rows = torch.randn(3, 8, requires_grad=True)
    layer(rows).sum().backward()
    assert layer.weight.grad is None
    assert rows.grad is not None


@pytest.mark.parametrize("precision", [torch.float64, torch.bfloat16])
def test_another_precision_is_left_to_torch(precision):
    layer = PortableLinear(8, 4).to(precision)
    rows = torch.randn(3, 8, dtype=precision)
    assert torch.equal(layer(rows), nn.functional.linear(rows, layer.weight, layer.bias))


def test_autocast_is_left_to_torch():
    with torch.autocast("cpu", torch.bfloat16):
        assert PortableLinear(8, 4)(torch.randn(3, 8)).dtype is torch.bfloat16


@pytest.mark.parametrize(("mode", "kind"), [("COMPATIBLE", PortableLinear), ("AVX2", nn.Linear), (None, nn.Linear)])
def test_only_large_layers_of_a_process_with_pins_are_replaced(monkeypatch, mode, kind):
    monkeypatch.delenv("MKL_CBWR", raising=False)
    if mode:
        monkeypatch.setenv("MKL_CBWR", mode)
    side = round(SMALLEST**0.5)
    network = nn.Sequential(nn.Linear(side, side), nn.Linear(side, 3))
    names = list(network.state_dict())
    use_portable_linear(network)
    assert [type(layer) for layer in network] == [kind, nn.Linear]
    assert list(network.state_dict()) == names
