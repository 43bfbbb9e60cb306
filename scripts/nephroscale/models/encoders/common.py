"""Base classes of trainable encoders."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nephroscale.errors import NephroscaleError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SD = (0.229, 0.224, 0.225)
GROUP_PIXELS = 4 * 224 * 224
"""Pixels that a CPU encodes at once, to within a half: larger maps do not stay in its caches between layers."""


class Encoder(nn.Module):
    """A network from images to feature maps that can be fine-tuned in part.

    A subclass implements :meth:`maps` and :meth:`parts`.

    Parameters
    ----------
    shape
        (h, w, C) of the feature map.
    mean, sd
        Mean and standard deviation of each colour channel, in the range 0 to 1, for normalisation.

    Attributes
    ----------
    channels_last
        Memory format of the images; None selects channels-last on a GPU alone.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        shape: tuple[int, int, int],
        mean: Sequence[float] = IMAGENET_MEAN,
        sd: Sequence[float] = IMAGENET_SD,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.channels_last: bool | None = None
        self.frozen: list[nn.Module] = []
        middle, spread = torch.tensor(mean), torch.tensor(sd)
        self.register_buffer("scale", (1 / (255 * spread))[:, None, None], persistent=False)
        self.register_buffer("shift", (-middle / spread)[:, None, None], persistent=False)

    def maps(self, images: Tensor) -> Tensor:
        """Turn normalised images [M, 3, S, S] into maps [M, h, w, C]."""
        raise NotImplementedError

    def parts(self) -> list[list[nn.Module]]:
        """List the modules with weights, in the order of the forward pass; `trainable: last` trains the last group."""
        raise NotImplementedError

    def blocks(self) -> list[nn.Module]:
        """List the modules that are compiled one by one: each takes images on its first axis."""
        return [module for part in self.parts() for module in part]

    def freeze(self, trainable: str) -> None:
        """Freeze the encoder except for `all`, the `last` or `none` of its parts.

        Frozen parts stay in evaluation mode: no dropout, and norms keep their statistics.
        """
        if trainable not in {"all", "last", "none"}:
            raise NephroscaleError(
                f"An encoder cannot be trained {trainable!r}.",
                where="models: encoder: trainable",
                fix="Choose all, last or none.",
            )
        trained = {"all": self.parts(), "last": self.parts()[-1:], "none": []}[trainable]
        self.requires_grad_(trainable == "all")
        for module in (module for part in trained for module in part):
            module.requires_grad_(True)
        trained_ids = {id(inner) for part in trained for module in part for inner in module.modules()}
        self.frozen = [] if trainable == "all" else [m for m in self.modules() if id(m) not in trained_ids]
        self.train(self.training)

    def train(self, mode: bool = True) -> Encoder:
        """Switch to training or evaluation mode, except for frozen parts."""
        super().train(mode)
        for module in self.frozen:
            module.training = False
        return self

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode images [M, S, S, 3] uint8 (grey images repeat their channel) to maps [M, h, w, C]."""
        if pixels.device.type != "cpu" or self._uses_batch_statistics():
            return self._encode(pixels)
        groups = max(1, round(pixels.shape[0] * pixels.shape[1] * pixels.shape[2] / GROUP_PIXELS))
        if groups == 1:
            return self._encode(pixels)
        return torch.cat([self._encode(images) for images in pixels.tensor_split(groups)])

    def _encode(self, pixels: Tensor) -> Tensor:
        images = pixels.permute(0, 3, 1, 2)  # channels are last in memory, where group norm is slow on a CPU
        last = pixels.device.type == "cuda" if self.channels_last is None else self.channels_last
        layout = torch.preserve_format if last else torch.contiguous_format
        images = images.to(torch.float32, memory_format=layout)
        return self.maps(torch.addcmul(self.shift, images, self.scale))

    def _uses_batch_statistics(self) -> bool:
        """Whether batch statistics are computed, which would change in groups of images."""
        return any(isinstance(module, _BatchNorm) and module.training for module in self.modules())


class StagedEncoder(Encoder):
    """An encoder that is a sequence of stages.

    Parameters
    ----------
    stages
        Modules in the order of the forward pass.
    shape
        (h, w, C) of the feature map.
    """

    def __init__(self, stages: nn.Sequential, shape: tuple[int, int, int]) -> None:
        super().__init__(shape)
        self.stages = stages

    def maps(self, images: Tensor) -> Tensor:
        """Turn normalised images [M, 3, S, S] into maps [M, h, w, C]."""
        maps: Tensor = self.stages(images).permute(0, 2, 3, 1)
        return maps

    def parts(self) -> list[list[nn.Module]]:
        """List each stage as one part."""
        return [[stage] for stage in self.stages]
