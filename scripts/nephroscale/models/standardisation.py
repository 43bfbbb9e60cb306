"""Standardised features as the first step of a network: each channel minus its mean, divided by its deviation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nephroscale.models.batch import MODALITIES, Batch, Shapes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np


class ChannelScale(nn.Module):
    """Mean and standard deviation of the channels of one modality.

    Attributes
    ----------
    mean, deviation
        [C] float32 buffers; 0 and 1 until they are set.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))

    def forward(self, bag: Tensor, mask: Tensor) -> Tensor:
        """Standardise the instances of bags [B, N, h, w, C] with the mask [B, N]; padding stays zero."""
        return (bag - self.mean) / self.deviation * mask[:, :, None, None, None]


class Standardisation(nn.Module):
    """The scales of all modalities. They are buffers: part of the weights file, not changed by an optimizer.

    Parameters
    ----------
    shapes
        Modality to (h, w, C) of a feature map.
    """

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.scales = nn.ModuleDict({name: ChannelScale(shapes[name][2]) for name in MODALITIES if name in shapes})

    def set(self, scales: Mapping[str, tuple[np.ndarray, np.ndarray] | None]) -> None:
        """Set mean [C] and standard deviation [C] of each modality; None leaves its features as they are."""
        for name, measured in scales.items():
            for buffer, values in zip(self.scales[name].buffers(), measured or (), strict=False):
                buffer.copy_(torch.from_numpy(values.astype("float32")))

    def forward(self, batch: Batch) -> Batch:
        """Standardise the feature maps of a batch."""
        bags = {name: scale(batch.features[name], batch.mask[name]) for name, scale in self.scales.items()}
        return replace(batch, features={**batch.features, **bags})
