"""The U-Net that segments glomeruli, and its weights file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from nephroscale.errors import NephroscaleError
from nephroscale.glomeruli.score_calibration import ScoreCalibration

FORMAT = "nephroscale-unet-5"
SMALLER = 0.8  # the segmenter knows nothing of glomeruli below this part of the smallest that it was trained on
COLOURS = "colours"  # name of the tensor beside those of the network


def block(first: nn.Conv2d, activation: nn.Module) -> nn.Sequential:
    """Join two 3 x 3 convolutions, of which the first is given, each with batch normalisation and an activation."""
    outputs = first.out_channels
    second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
    layers = ((each, nn.BatchNorm2d(outputs), activation) for each in (first, second))
    return nn.Sequential(*(layer for each in layers for layer in each))


class UpConvolution(nn.Conv2d):
    """3 x 3 convolution over the channels of a map enlarged twofold, by its nearest pixels, and those of a larger map.

    The enlarged map is not computed: each output depends on 2 x 2 pixels of the small one, with sums of weights. This
    is a transposed convolution with stride 2 and a kernel of 4 x 4, and takes four ninths of the multiplications.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=False)

    def forward(self, maps: tuple[Tensor, Tensor]) -> Tensor:  # type: ignore[override]
        """Compute a map [n, outputs, 2 h, 2 w] from a small [n, c, h, w] and a large one [n, inputs - c, 2 h, 2 w]."""
        small, large = maps
        of_small, of_large = self.weight[:, : small.shape[1]], self.weight[:, small.shape[1] :]
        sums = of_small.flip(2, 3).transpose(0, 1)
        sums = nn.functional.pad(sums, (0, 1)) + nn.functional.pad(sums, (1, 0))
        sums = nn.functional.pad(sums, (0, 0, 0, 1)) + nn.functional.pad(sums, (0, 0, 1, 0))
        sums, of_large = (each.contiguous(memory_format=torch.channels_last) for each in (sums, of_large))
        enlarged = nn.functional.conv_transpose2d(small, sums, stride=2, padding=1)
        return enlarged + nn.functional.conv2d(large, of_large, padding=1)


class SoftPool(nn.Module):
    """Mean of 2 x 2 pixels, weighted by their softmax: near the largest, but with continuous derivatives.

    References
    ----------
    Stergiou et al., "Refining activation downsampling with SoftPool", ICCV 2021.
    """

    SHARPNESS = 6.0  # between 0, the mean, and infinity, the maximum

    def forward(self, x: Tensor) -> Tensor:
        """Compute a map [n, c, h / 2, w / 2] from [n, c, h, w]."""
        n, c, h, w = x.shape
        parts = x.reshape(n, c, h // 2, 2, w // 2, 2).permute(3, 5, 0, 2, 4, 1).flatten(0, 1)
        return (parts * torch.softmax(self.SHARPNESS * parts, dim=0)).sum(dim=0).permute(0, 3, 1, 2)


class UNet(nn.Module):
    """U-Net whose first convolution has stride 2.

    A glomerulus is at least 30 pixels wide at 2 µm per pixel, so outlines lose little at half resolution, and a
    training step takes a quarter of the time. It has batch rather than group normalisation, because the result of a
    window must not depend on its other pixels.

    All operations have continuous derivatives: ELU in OM and SiLU in IM instead of ReLU, mean and soft instead of
    maximum pooling. With the others, a change in the last bit of a weight changes which inputs have a gradient, and the
    trained weights as much as another seed does. SiLU had one more false contour in OM. In IM, ELU and mean pooling
    lose what shows glomeruli: on synthetic fields F1 was 0.38 to 0.86.

    Parameters
    ----------
    width
        Channels of the first level; the second has twice, the deeper ones four times as many.
    outputs
        1: glomerulus. 2: also whether a glomerulus is sclerosed, which means nothing outside of glomeruli.
    channels
        Of its input: 3 in OM, 1 in IM (:mod:`.segmenter_pixels`).

    References
    ----------
    Ronneberger et al., "U-Net: convolutional networks for biomedical image segmentation", MICCAI 2015.
    ELU: Clevert et al., "Fast and accurate deep network learning by exponential linear units", ICLR 2016. SiLU: Elfwing
    et al., "Sigmoid-weighted linear units for neural network function approximation in reinforcement learning", Neural
    Networks 107 (2018). Smooth activations: Shamir et al., "Smooth activations and reproducibility in deep networks",
    arXiv 2010.09931.
    """

    REACH = 96  # receptive field: inputs farther away in pixels do not change an output
    MULTIPLE = 16  # the sides of the input are multiples of this

    def __init__(self, width: int, outputs: int = 1, channels: int = 3) -> None:
        super().__init__()
        w = width
        self.width = width
        self.pool: nn.Module = SoftPool() if channels == 1 else nn.AvgPool2d(2)
        # ELU in place computes its gradient from its output, without exponentials.
        act: nn.Module = nn.SiLU() if channels == 1 else nn.ELU(inplace=True)
        self.stem = nn.Sequential(nn.Conv2d(channels, w, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(w), act)
        self.down1, self.down2, self.down3 = (
            block(nn.Conv2d(i * w, o * w, 3, padding=1, bias=False), act) for i, o in ((1, 2), (2, 4), (4, 4))
        )
        self.up2, self.up1, self.up0 = (block(UpConvolution(i * w, o * w), act) for i, o in ((8, 2), (4, 1), (2, 1)))
        self.head = nn.Conv2d(w, outputs, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute logits [n, outputs, h, w] of pixels [n, channels, h, w] from 0 to 1."""
        half = self.stem((pixels - 0.7) / 0.25)
        quarter = self.down1(self.pool(half))
        eighth = self.down2(self.pool(quarter))
        deep = self.down3(self.pool(eighth))
        x = self.up2((deep, eighth))
        x = self.up1((x, quarter))
        x = self.up0((x, half))
        return nn.functional.interpolate(self.head(x), scale_factor=2, mode="bilinear", align_corners=False)


class SegmenterWeights(NamedTuple):
    """A trained segmenter.

    Attributes
    ----------
    network
        In evaluation mode.
    mpp
        µm per pixel of its input.
    colours
        float32 [n, ...], colours of the slides it was trained on (:func:`.stain_likeness.describe_colours`).
    smallest_um
        Diameter of the smallest glomerulus it was trained on, µm; 0 where these are too few to tell.
    calibration
        Of its scores; None where too few outlines were held out.
    markers
        Those of the IM images it was trained on, sorted; none if it was trained on OM.
    """

    network: UNet
    mpp: float
    colours: np.ndarray
    smallest_um: float = 0.0
    calibration: ScoreCalibration | None = None
    markers: tuple[str, ...] = ()

    def least_um(self, min_diameter_um: float) -> float:
        """Raise the smallest diameter of a contour to what the segmenter knows."""
        return max(min_diameter_um, SMALLER * self.smallest_um)


def save_weights(weights: SegmenterWeights, path: Path) -> None:
    """Write weights as safetensors, with one metadata key `nephroscale`: JSON of format, width and the other fields.

    Parameters
    ----------
    weights
        The trained segmenter.
    path
        File to write.
    """
    network, mpp, colours, smallest_um, calibration, markers = weights
    content = {
        "format": FORMAT,
        "width": network.width,
        "mpp": mpp,
        "smallest_um": smallest_um,
        "calibration": calibration,
    } | ({"markers": markers} if markers else {})
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in sorted(network.state_dict().items())}
    tensors[COLOURS] = torch.from_numpy(colours)
    save_file(tensors, path, metadata={"nephroscale": json.dumps(content, sort_keys=True)})


def load_weights(path: Path) -> SegmenterWeights:
    """Read weights by :func:`save_weights`; the width of the network is in their metadata.

    Parameters
    ----------
    path
        The file, or the folder that has it as `weights.safetensors`.

    Raises
    ------
    NephroscaleError
        When the file is damaged, or not of this segmenter.
    """
    path = path / "weights.safetensors" if path.is_dir() else path
    try:
        with safe_open(path, "pt") as stored:
            metadata = json.loads((stored.metadata() or {}).get("nephroscale", "{}"))
            tensors = {name: stored.get_tensor(name) for name in sorted(stored.keys())}
    except SafetensorError as error:
        raise NephroscaleError(
            "These weights are damaged.", where=path.name, fix="Train the segmenter again."
        ) from error
    if metadata.get("format") != FORMAT:
        raise NephroscaleError(
            "These are not weights of the glomerulus segmenter.", where=path.name, fix="Train the segmenter again."
        )
    colours = tensors.pop(COLOURS).numpy()
    network = UNet(int(metadata["width"]), len(tensors["head.weight"]), tensors["stem.0.weight"].shape[1])
    network.load_state_dict(tensors)
    fitted = metadata["calibration"]
    mpp, smallest_um = float(metadata["mpp"]), float(metadata["smallest_um"])
    markers = tuple(metadata.get("markers", ()))
    calibration = ScoreCalibration(*fitted) if fitted else None
    return SegmenterWeights(network.eval(), mpp, colours, smallest_um, calibration, markers)
