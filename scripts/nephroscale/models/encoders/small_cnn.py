"""A small convolutional encoder that needs no weights to start from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nephroscale.errors import NephroscaleError
from nephroscale.models.encoders.common import StagedEncoder

if TYPE_CHECKING:
    from collections.abc import Mapping

GRID = 7
"""Side of the feature map, as that of Swin-B at 224 pixels."""


class GridMean(nn.Module):
    """Average a map [M, C, s, s] over a grid of 7 x 7 equal cells; cells share a row or column that they cut.

    A fixed matrix product, since torch's adaptive pooling has no deterministic gradient on a GPU.
    """

    cells: Tensor

    def __init__(self, side: int) -> None:
        super().__init__()
        edges = torch.arange(GRID + 1, dtype=torch.float64) * side / GRID
        place = torch.arange(side, dtype=torch.float64)
        overlap = torch.minimum(edges[1:, None], place + 1) - torch.maximum(edges[:-1, None], place)
        cells = overlap.clamp(min=0) * GRID / side
        self.register_buffer("cells", cells.float(), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Average maps [M, C, s, s] to [M, C, 7, 7]."""
        return self.cells @ maps @ self.cells.T


def stage(channels_in: int, channels: int, stride: int) -> nn.Sequential:
    """Convolution, group normalisation (batches are of one to a few patients) and ReLU."""
    groups = max(group for group in (1, 2, 4, 8) if channels % group == 0)
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False),
        nn.GroupNorm(groups, channels),
        nn.ReLU(),
    )


def build(settings: Mapping[str, Any], size_px: int) -> StagedEncoder:
    """Build the encoder.

    Parameters
    ----------
    settings
        `width`: channels of the 7 x 7 map, 64 when left out; at least 8.
    size_px
        Side of the images, at least 14 pixels. At 224 five halvings lead to 7 x 7; a side that halvings do not lead
        to 7 is averaged to it.
    """
    if settings.get("weights"):
        raise NephroscaleError(
            "The encoder small-cnn begins with fresh weights and reads none.",
            where="models: encoder: weights",
            todo="Leave them out, or choose another encoder.",
        )
    width = int(settings.get("width", 64))
    if size_px < 2 * GRID:
        raise NephroscaleError(
            f"Images of {size_px} pixels are too small for this encoder.",
            where="features: encoders: size_px",
            todo=f"Take at least {2 * GRID} pixels.",
        )
    stages, channels, side = nn.Sequential(), 3, size_px
    halvings = (size_px // GRID).bit_length() - 1
    for done in range(halvings):
        wider = max(8, width >> (halvings - 1 - done))
        stages.append(stage(channels, wider, stride=2))
        channels, side = wider, (side + 1) // 2
    if side != GRID:
        stages.append(GridMean(side))
    stages.append(stage(channels, width, stride=1))
    return StagedEncoder(stages, (GRID, GRID, width))
