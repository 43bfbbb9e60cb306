"""Trainable encoders from the transformers library: Swin, ResNet, ViT, DINOv2.

References
----------
See :mod:`nephroscale.features.encoders.huggingface`, which reads the weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nephroscale.errors import NephroscaleError
from nephroscale.features.encoders.huggingface import MapNetwork, build_network, layout_of, load_network
from nephroscale.models.encoders import swin
from nephroscale.models.encoders.common import Encoder
from nephroscale.models.settings import Architecture, TrainableEncoderSettings, TrainedEncoderSettings


class HuggingFaceEncoder(Encoder):
    """A network of the transformers library that starts from the weights of a file.

    Parameters
    ----------
    network
        From images [M, 3, S, S] in the range 0 to 1 to maps [M, C, h, w].
    size_px
        Side S of the images.
    """

    def __init__(self, network: MapNetwork, size_px: int) -> None:
        mean, sd = network.mean.flatten().tolist(), network.std.flatten().tolist()
        _fit_positions(network, size_px)
        super().__init__(_shape_of(network, size_px), mean, sd)
        network.mean.zero_()  # the encoder normalises the images
        network.std.fill_(1)
        self.network = network
        if network.kind == "swin":
            swin.adapt(network.network)

    def maps(self, images: Tensor) -> Tensor:
        """Turn normalised images [M, 3, S, S] into maps [M, h, w, C]."""
        maps: Tensor = self.network(images).permute(0, 2, 3, 1)
        return maps

    def parts(self) -> list[list[nn.Module]]:
        """List embedding and blocks (in Swin and ResNet: stages), the last with the final norm."""
        inner: Any = self.network.network
        embedding = getattr(inner, "embeddings", None) or inner.embedder
        body = getattr(inner, "encoder", inner)
        blocks = next(getattr(body, name) for name in ("layers", "layer", "stages") if hasattr(body, name))
        parts = [[embedding], *([block] for block in blocks)]
        if hasattr(inner, "layernorm"):
            parts[-1].append(inner.layernorm)
        return parts

    def blocks(self) -> list[nn.Module]:
        """List the transformer blocks; of ResNet the stages."""
        inner: Any = self.network.network
        if self.network.kind in {"swin", "swinv2"}:
            return swin.blocks(inner)
        return [module for part in self.parts()[1:] for module in part[:1]]


def _fit_positions(network: MapNetwork, size_px: int) -> None:
    """Interpolate the position embeddings once to the size of the images; afterwards they are trained at this size."""
    inner: Any = network.network
    if network.kind not in {"vit", "dinov2", "dinov2_with_registers"} or inner.config.image_size == size_px:
        return
    embeddings, patch = inner.embeddings, int(inner.config.patch_size)
    count = (size_px // patch) ** 2 + 1
    with torch.no_grad():
        blank = torch.zeros(1, count, inner.config.hidden_size)
        fitted = embeddings.interpolate_pos_encoding(blank, size_px, size_px).clone()
    embeddings.position_embeddings = nn.Parameter(fitted)
    inner.config.image_size = size_px
    for module in (embeddings, embeddings.patch_embeddings):
        module.image_size = (size_px, size_px)
    embeddings.patch_embeddings.num_patches = count - 1


def _shape_of(network: MapNetwork, size_px: int) -> tuple[int, int, int]:
    """Determine (h, w, C) of the maps by encoding one blank image."""
    training = network.training
    try:
        with torch.no_grad():
            _, channels, height, width = network.eval()(torch.zeros(1, 3, size_px, size_px)).shape
    except (RuntimeError, ValueError) as error:
        raise NephroscaleError(
            f"This encoder cannot encode images of {size_px} pixels ({str(error).splitlines()[0]}).",
            where="features: encoders: size_px",
            fix="Use the size that the network was trained with, such as 224.",
        ) from error
    network.train(training)
    return height, width, channels


def architecture_of(settings: TrainableEncoderSettings) -> Architecture:
    """Read the architecture that rebuilds the network, from the configuration beside its weights."""
    return layout_of(settings)


def build(settings: TrainableEncoderSettings, size_px: int) -> HuggingFaceEncoder:
    """Build the encoder.

    Parameters
    ----------
    settings
        `weights` is a safetensors file or a folder as in `features: encoders`, or a config.json for random weights. A
        trained encoder has an `architecture` instead, and starts from random weights until the model's are loaded.
    size_px
        Side of the images.
    """
    architecture = settings.architecture if isinstance(settings, TrainedEncoderSettings) else None
    if architecture is None and str(settings.weights).endswith(".json"):
        architecture = architecture_of(settings)
    return HuggingFaceEncoder(load_network(settings) if architecture is None else build_network(architecture), size_px)
