"""A small convolutional encoder that starts from random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nephroscale.errors import NephroscaleError
from nephroscale.models.encoders.common import StagedEncoder

if TYPE_CHECKING:
    from nephroscale.models.settings import TrainableEncoderSettings

GRID = 7
"""Side of the feature map, as that of Swin-B at 224 pixels."""


class GridMean(nn.Module):
    """Average a map [M, C, s, s] over a grid of 7 x 7 equal cells; rows and columns on an edge count in both cells.

    It is a fixed matrix product: torch's adaptive pooling has no deterministic gradient on a GPU.
    """

    cells: Tensor

    def __init__(self, side: int) -> None:
        super().__init__()
        edges = torch.arange(GRID + 1, dtype=torch.float64) * side / GRID
        place = torch.arange(side, dtype=torch.float64)
        overlap = torch.minimum(edges[1:, None], place + 1) - torch.maximum(edges[:-1, None], place)
        along = overlap.clamp(min=0) * GRID / side
        self.register_buffer("cells", torch.kron(along, along).float(), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Average maps [M, C, s, s] to [M, C, 7, 7]."""
        averaged = maps.flatten(0, 1).flatten(1) @ self.cells.T
        return averaged.view(*maps.shape[:2], GRID, GRID)


def stage(channels_in: int, channels: int, stride: int) -> nn.Sequential:
    """Make a stage: convolution, group normalisation (since batches are small) and ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False),
        nn.GroupNorm(max(group for group in (1, 2, 4, 8) if channels % group == 0), channels),
        nn.ReLU(),
    )


def architecture_of(_settings: TrainableEncoderSettings) -> None:
    """Give None: the settings alone rebuild this encoder."""


def build(settings: TrainableEncoderSettings, size_px: int) -> StagedEncoder:
    """Build the encoder.

    Parameters
    ----------
    settings
        `width`: channels of the 7 x 7 map.
    size_px
        Side of the images, at least 14 pixels. At 224 pixels five stages of stride 2 give 7 x 7; if the strides end at
        another size, the map is averaged to 7 x 7.

    Raises
    ------
    NephroscaleError
        When the settings name weights, or the images are too small.
    """
    if settings.weights:
        raise NephroscaleError(
            "The encoder small-cnn starts from random weights and reads no file.",
            where="models: encoder: weights",
            fix="Remove `weights`, or choose another encoder.",
        )
    width = settings.width
    if size_px < 2 * GRID:
        raise NephroscaleError(
            f"Images of {size_px} pixels are too small for this encoder.",
            where="features: encoders: size_px",
            fix=f"Take at least {2 * GRID} pixels.",
        )
    stages, channels, side = nn.Sequential(), 3, size_px
    strides = (size_px // GRID).bit_length() - 1
    for done in range(strides):
        wider = max(8, width >> (strides - 1 - done))
        stages.append(stage(channels, wider, stride=2))
        channels, side = wider, (side + 1) // 2
    if side != GRID:
        stages.append(GridMean(side))
    stages.append(stage(channels, width, stride=1))
    return StagedEncoder(stages, (GRID, GRID, width))
