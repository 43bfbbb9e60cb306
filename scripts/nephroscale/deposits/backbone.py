"""The convolutional network that reads TEM images: its stages' maps, pooled and joined by skip connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nephroscale.deposits.images import ImageInstances, InstanceSequence
from nephroscale.deposits.settings import BackboneSettings
from nephroscale.features.encoders import efficientnet_lite0
from nephroscale.training.precision import autocast

FIRST_STAGE = 2
"""Of EfficientNet-Lite0: maps at the full resolution of the stem hold edges alone."""


class Backbone(nn.Module):
    """A pretrained network as a sequence of stages.

    The norms of EfficientNet-Lite0 are folded into its convolutions: with few images their statistics are not trained.

    Parameters
    ----------
    settings
        Which network.
    pretrained
        Whether to start from its weights, or from random ones (torch's generator decides).
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, settings: BackboneSettings, *, pretrained: bool = True) -> None:
        super().__init__()
        self.name, self.precision = settings.name, settings.precision
        if settings.name == "efficientnet-lite0":
            plain = efficientnet_lite0
            self.network: Any = plain.load_network(settings) if pretrained else _random_network()
            del self.network.classifier
            plain.fold_norms(self.network)
            mean, spread = [plain.MEAN] * 3, [plain.SPREAD] * 3
        else:
            from nephroscale.features.encoders.huggingface import build_network, layout_of, load_network

            loaded = load_network(settings) if pretrained else build_network(layout_of(settings))
            mean, spread = ((255 * values.flatten()).tolist() for values in (loaded.mean, loaded.std))
            self.network = loaded.network
        self.network.to(memory_format=torch.channels_last)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("spread", torch.tensor(spread)[:, None, None], persistent=False)

    def train(self, mode: bool = True) -> Backbone:  # noqa: ARG002
        """Stay in evaluation mode: with few images, norms keep the statistics of their pretraining."""
        return super().train(mode=False)

    def stage_maps(self, pixels: Tensor) -> list[Tensor]:
        """Turn grey images [n, S, S] uint8 into the maps of the stages, [n, C, h, w] each, the finest first."""
        images = (pixels[:, None].float().expand(-1, 3, -1, -1) - self.mean) / self.spread
        images = images.contiguous(memory_format=torch.channels_last)
        if self.name == "efficientnet-lite0":
            maps: list[Tensor] = self.network.stage_maps(images)[FIRST_STAGE:]
            return maps
        return list(self.network(pixel_values=images, output_hidden_states=True).hidden_states[1:])

    def pooled(self, pixels: Tensor) -> list[Tensor]:
        """Average each stage's maps over the image: [n, C] each."""
        return [maps.mean((2, 3)) for maps in self.stage_maps(pixels)]


def _random_network() -> efficientnet_lite0.EfficientNetLite0:
    """Make a network with random weights that keep the variance of its maps from stage to stage (He et al. 2015)."""
    network = efficientnet_lite0.EfficientNetLite0().eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return network


@torch.inference_mode()
def pooled_features(
    backbone: Backbone, pictures: Sequence[ImageInstances], device: str, batch_size: int
) -> list[np.ndarray]:
    """Give the pooled features of each picture, [pictures, C] float32 for each stage; means over its instances."""
    backbone.to(device).eval()
    instances = InstanceSequence(pictures)
    with autocast(device, backbone.precision):
        stages = [
            [stage.float().cpu().numpy() for stage in backbone.pooled(torch.from_numpy(pixels).to(device))]
            for pixels in instances.batches(batch_size)
        ]
    owner, counts = instances.owner, instances.counts[:, None]
    found = []
    for parts in zip(*stages, strict=True):
        sums = np.zeros((len(pictures), parts[0].shape[1]))
        np.add.at(sums, owner, np.concatenate(parts))
        found.append((sums / counts).astype(np.float32))
    return found
