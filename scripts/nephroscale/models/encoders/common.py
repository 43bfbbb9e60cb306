"""What every trainable encoder has in common."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nephroscale.errors import NephroscaleError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SD = (0.229, 0.224, 0.225)


class Encoder(nn.Module):
    """Stages that turn images into feature maps.

    Parameters
    ----------
    stages
        Modules in their order from the image on; the last one is what `trainable: last` leaves to train.
    shape
        (h, w, C) of the feature map.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, stages: nn.Sequential, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.stages, self.shape = stages, shape
        mean, sd = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_SD)
        self.register_buffer("scale", 1 / (255 * sd), persistent=False)
        self.register_buffer("shift", -mean / sd, persistent=False)

    def freeze(self, trainable: str) -> None:
        """Leave `all`, the `last` stage or `none` of the encoder to be trained."""
        if trainable not in ("all", "last", "none"):
            raise NephroscaleError(
                f"An encoder cannot be trained {trainable!r}.",
                where="models: encoder: trainable",
                todo="Choose all, last or none.",
            )
        self.stages.requires_grad_(trainable == "all")
        if trainable == "last":
            self.stages[-1].requires_grad_(True)

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode images [M, S, S, 3] uint8 (grey ones have their channel three times) to maps [M, h, w, C]."""
        images = torch.addcmul(self.shift, pixels.float(), self.scale)  # one pass; channels stay last in memory
        return self.stages(images.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
