"""EfficientNet-Lite0 with ImageNet weights: a small pretrained network whose weights come with a Python package.

Lite networks are EfficientNets without squeeze-and-excitation, with ReLU6 for swish, and with a stem and head of fixed
width. `nephroscale weights prepare` converts the package's weights to safetensors once; `make setup` runs it.

References
----------
Tan M, Le Q. EfficientNet: rethinking model scaling for convolutional neural networks. ICML 2019, table 1.
Liu R. Higher accuracy on vision models with EfficientNet-Lite. TensorFlow blog, 2020.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nephroscale.errors import NephroscaleError
from nephroscale.features.weights import check_weights

if TYPE_CHECKING:
    from nephroscale.features.protocol import NamedWeights
    from nephroscale.features.settings import EncoderSettings

MEAN, SPREAD = 127.0, 128.0
"""Grey levels are normalised to (x - MEAN) / SPREAD, as in the training of the weights."""

MAP_STAGE, GRID = 5, 7
"""The stage whose map an encoder returns, 112 channels, averaged to 7 x 7. The weights of CMUS-Net's fusion grow
with the square of the channels, so that those of the last stage (1,280) would make it a hundred times larger."""


class Blocks(NamedTuple):
    """One row of the network's table: its blocks have these shapes, and the first of them the stride."""

    expansion: int
    channels: int
    repeats: int
    stride: int
    kernel: int


STEM, HEAD, CLASSES = 32, 1280, 1000
STAGES = (
    Blocks(1, 16, 1, 1, 3),
    Blocks(6, 24, 2, 2, 3),
    Blocks(6, 40, 2, 2, 5),
    Blocks(6, 80, 3, 2, 3),
    Blocks(6, 112, 3, 1, 5),
    Blocks(6, 192, 4, 2, 5),
    Blocks(6, 320, 1, 1, 3),
)


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow does: an odd row or column of zeros is at the bottom and right."""

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve [n, C, h, w]."""
        pads: list[int] = []
        for length, kernel, stride in zip(maps.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
            pads += [total // 2, total - total // 2]
        even = pads[0::2] == pads[1::2]
        padded = maps if even else functional.pad(maps, pads)
        around = (pads[2], pads[0]) if even else (0, 0)
        return functional.conv2d(padded, self.weight, self.bias, self.stride, around, groups=self.groups)


def _unit(
    channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1, *, active: bool = True
) -> list[nn.Module]:
    """Make a convolution, its batch normalisation, and ReLU6 where it is active."""
    convolution = SameConv(channels, out, kernel, stride, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(out, eps=1e-3, momentum=0.01), *([nn.ReLU6(inplace=True)] if active else [])]


class Block(nn.Module):
    """An inverted residual block: expansion, depthwise convolution, projection; a skip where the shape stays."""

    def __init__(self, channels: int, row: Blocks, stride: int) -> None:
        super().__init__()
        inner = channels * row.expansion
        self.path = nn.Sequential(
            *(_unit(channels, inner, 1) if row.expansion > 1 else []),
            *_unit(inner, inner, row.kernel, stride, groups=inner),
            *_unit(inner, row.channels, 1, active=False),
        )
        self.skip = stride == 1 and channels == row.channels

    def forward(self, maps: Tensor) -> Tensor:
        """Turn maps [n, C, h, w] into those of the next block."""
        out: Tensor = self.path(maps)
        return out + maps if self.skip else out


class EfficientNetLite0(nn.Module):
    """The network, from images to the maps of its stages.

    Attributes
    ----------
    stages
        The stem, seven stages of blocks, and the last convolution: 32, 16, 24, 40, 80, 112, 192, 320 and 1,280
        channels at 1/2, 1/2, 1/4, 1/8, 1/16, 1/16, 1/32, 1/32 and 1/32 of the image's side.
    classifier
        Of the 1,000 classes of ImageNet.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList([nn.Sequential(*_unit(3, STEM, 3, 2))])
        channels = STEM
        for row in STAGES:
            blocks = nn.Sequential()
            for index in range(row.repeats):
                blocks.append(Block(channels, row, row.stride if index == 0 else 1))
                channels = row.channels
            self.stages.append(blocks)
        self.stages.append(nn.Sequential(*_unit(channels, HEAD, 1)))
        self.classifier = nn.Linear(HEAD, CLASSES)

    def stage_maps(self, images: Tensor, last: int = len(STAGES) + 1) -> list[Tensor]:
        """Turn normalised images [n, 3, S, S] into the maps of the stages 0 to `last`, each [n, C, h, w]."""
        maps, found = images, []
        for stage in self.stages[: last + 1]:
            maps = stage(maps)
            found.append(maps)
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Give the logits [n, 1000] of normalised images [n, 3, S, S]."""
        logits: Tensor = self.classifier(self.stage_maps(images)[-1].mean((2, 3)))
        return logits


def load_network(settings: NamedWeights) -> EfficientNetLite0:
    """Load the network with the prepared weights, or with those that the settings name.

    Raises
    ------
    NephroscaleError
        When the weights are missing, have another digest, or are of another network.
    """
    path = check_weights(settings, origin="EfficientNet-Lite0, by `nephroscale weights prepare`")
    network = EfficientNetLite0()
    try:
        network.load_state_dict(load_file(path))
    except (RuntimeError, SafetensorError) as fault:
        raise NephroscaleError(
            f"The weights of the encoder {settings.name!r} are of another network.",
            where=f"features.encoders, {path}",
            fix="Name no weights: those of `nephroscale weights prepare` are then used.",
        ) from fault
    return network.eval()


def fold_norms(network: nn.Module) -> None:
    """Fold each batch normalisation into the convolution before it: faster, and no longer to be trained."""
    for sequence in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for index, (first, second) in enumerate(itertools.pairwise(list(sequence))):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                sequence[index], sequence[index + 1] = fuse_conv_bn_eval(first, second), nn.Identity()


def tensor_names() -> list[str]:
    """List the names of the network's tensors, in the order of the forward pass."""
    return list(EfficientNetLite0().state_dict())


def normalise(images: np.ndarray, device: torch.device) -> Tensor:
    """Turn images [n, S, S, 3] uint8 into what the network reads, [n, 3, S, S] float32."""
    return (torch.from_numpy(np.array(images, copy=True)).to(device).permute(0, 3, 1, 2).float() - MEAN) / SPREAD


def encode_maps(network: EfficientNetLite0, images: Tensor) -> Tensor:
    """Turn normalised images [n, 3, S, S] into maps [n, 112, h, w]: 7 x 7 where S is a multiple of 112, else S / 16."""
    maps = network.stage_maps(images, MAP_STAGE)[MAP_STAGE]
    side = maps.shape[-1]
    return functional.avg_pool2d(maps, side // GRID) if side % GRID == 0 else maps


class EfficientNetEncoder:
    """The network as an encoder.

    Parameters
    ----------
    settings
        Name, image size and, where they are not the prepared ones, weights and digest.
    device
        `cpu` or `cuda`.
    """

    def __init__(self, settings: EncoderSettings, device: str) -> None:
        self.name, self.size_px = settings.name, settings.size_px
        self.device = torch.device(device)
        self.network = load_network(settings)
        fold_norms(self.network)
        self.network.to(self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as images are in memory

    @torch.inference_mode()
    def encode(self, images: np.ndarray) -> np.ndarray:
        """Encode [n, S, S, 3] uint8 to [n, h, w, 112] float32 (at 224 px: 7 x 7)."""
        maps = encode_maps(self.network, normalise(images, self.device)).permute(0, 2, 3, 1).cpu().numpy()
        return np.ascontiguousarray(maps)


create = EfficientNetEncoder
