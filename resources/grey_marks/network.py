"""A small network that distinguishes drawn pixels of a TEM image from imaged ones."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

INPUTS = 2  # levels, and what they are beyond those around
SCREEN_WIDTH = 20
WIDTHS = (16, 20, 28)  # channels at a half, a quarter and an eighth of the resolution


def _conv(inputs: int, outputs: int, *, step: int = 1, dilation: int = 1) -> nn.Sequential:
    """A convolution with normalisation, which is made part of it when the weights are written."""
    own = nn.Conv2d(inputs, outputs, 3, stride=step, padding=dilation, dilation=dilation, bias=False)
    return nn.Sequential(own, nn.BatchNorm2d(outputs))


class MarkNet(nn.Module):
    """A U-Net of three levels on squares of 2 x 2 pixels.

    References
    ----------
    Ronneberger, Fischer, Brox, "U-Net: convolutional networks for biomedical image segmentation", MICCAI 2015.
    """

    def __init__(self) -> None:
        super().__init__()
        half, quarter, eighth = WIDTHS
        self.first = nn.ModuleList([_conv(4 * INPUTS, half), _conv(half, half)])
        self.second = nn.ModuleList([_conv(half, quarter, step=2), _conv(quarter, quarter)])
        self.third = nn.ModuleList(
            [_conv(quarter, eighth, step=2), _conv(eighth, eighth), _conv(eighth, eighth, dilation=2)]
        )
        self.join_second = _conv(eighth + quarter, quarter)
        self.join_first = _conv(quarter + half, half)
        self.last = nn.Conv2d(half, 4, 1)

    def forward(self, levels: Tensor) -> Tensor:
        """Logits of marks.

        Parameters
        ----------
        levels
            float32 [n, 2, h, w], by :func:`nephroscale.tem.network.inputs_of`; h and w are multiples of 8.
        """
        fine = _through(self.first, functional.pixel_unshuffle(levels, 2))
        middle = _through(self.second, fine)
        coarse = _through(self.third, middle)
        middle = functional.relu(self.join_second(torch.cat([_doubled(coarse), middle], 1)))
        fine = functional.relu(self.join_first(torch.cat([_doubled(middle), fine], 1)))
        return functional.pixel_shuffle(self.last(fine), 2)


class ScreenNet(nn.Module):
    """Says where :class:`MarkNet` may find something: a logit for each block of 8 x 8 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.screen = nn.ModuleList(
            [_conv(16, SCREEN_WIDTH), _conv(SCREEN_WIDTH, SCREEN_WIDTH, step=2), _conv(SCREEN_WIDTH, SCREEN_WIDTH)]
        )
        self.last = nn.Conv2d(SCREEN_WIDTH, 1, 1)

    def forward(self, squares: Tensor) -> Tensor:
        """Logits of blocks.

        Parameters
        ----------
        squares
            float32 [n, 16, h / 4, w / 4], by :func:`nephroscale.tem.network.screen_inputs_of`.
        """
        return self.last(_through(self.screen, squares))


def _through(layers: nn.ModuleList, values: Tensor) -> Tensor:
    for layer in layers:
        values = functional.relu(layer(values))
    return values


def _doubled(values: Tensor) -> Tensor:
    return functional.interpolate(values, scale_factor=2.0, mode="nearest")


def merged(network: MarkNet | ScreenNet) -> dict[str, Tensor]:
    """Weights and biases of the layers, with the normalisation in them."""
    result = {}
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Sequential):
            own, norm = layer
            scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            result[f"{name}.weight"] = own.weight * scale[:, None, None, None]
            result[f"{name}.bias"] = norm.bias - norm.running_mean * scale
    return {
        name: value.detach().contiguous()
        for name, value in {**result, "last.weight": network.last.weight, "last.bias": network.last.bias}.items()
    }


def start_from(network: MarkNet, layers: Mapping[str, Tensor]) -> None:
    """Set a network to weights with the normalisation in them; the normalisation then has to stay as it is."""
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Sequential):
            own, norm = layer
            norm.eps = 0.0
            own.weight.data.copy_(layers[f"{name}.weight"])
            norm.bias.data.copy_(layers[f"{name}.bias"])
    network.last.weight.data.copy_(layers["last.weight"])
    network.last.bias.data.copy_(layers["last.bias"])
