"""EfficientNet-Lite0 as an encoder that is trained with a model, from its ImageNet weights on.

References
----------
See :mod:`nephroscale.features.encoders.efficientnet_lite0`, which has the network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nephroscale.features.encoders.efficientnet_lite0 import (
    MAP_STAGE,
    MEAN,
    SPREAD,
    EfficientNetLite0,
    encode_maps,
    load_network,
)
from nephroscale.models.encoders.common import Encoder
from nephroscale.models.settings import TrainableEncoderSettings, TrainedEncoderSettings


class EfficientNetEncoder(Encoder):
    """The stages of the network up to the one with 112 channels.

    Parameters
    ----------
    network
        The network; stages after that one are removed.
    size_px
        Side S of the images.
    """

    def __init__(self, network: EfficientNetLite0, size_px: int) -> None:
        with torch.no_grad():
            channels, height, width = encode_maps(network, torch.zeros(1, 3, size_px, size_px)).shape[1:]
        super().__init__((height, width, channels), [MEAN / 255] * 3, [SPREAD / 255] * 3)
        del network.stages[MAP_STAGE + 1 :]
        del network.classifier
        self.network = network

    def maps(self, images: Tensor) -> Tensor:
        """Turn normalised images [M, 3, S, S] into maps [M, h, w, C]."""
        return encode_maps(self.network, images).permute(0, 2, 3, 1)

    def parts(self) -> list[list[nn.Module]]:
        """List each stage as one part."""
        return [[stage] for stage in self.network.stages]


def architecture_of(_settings: TrainableEncoderSettings) -> None:
    """Give None: the settings alone rebuild this encoder."""


def build(settings: TrainableEncoderSettings, size_px: int) -> EfficientNetEncoder:
    """Build the encoder, with the prepared weights or those that the settings name.

    A trained model is rebuilt without them, since it has its own.
    """
    network = EfficientNetLite0().eval() if isinstance(settings, TrainedEncoderSettings) else load_network(settings)
    return EfficientNetEncoder(network, size_px)
