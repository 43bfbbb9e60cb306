"""A small U-Net for glomeruli, and its weights on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from nephroscale.errors import NephroscaleError

FORMAT = "nephroscale-unet-1"


def block(inputs: int, outputs: int) -> nn.Sequential:
    """Two convolutions of 3 x 3, each with batch normalisation and ReLU."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """U-Net whose first convolution already halves the picture.

    A glomerulus spans 40 pixels and more at 4 µm per pixel, so outlines lose little at half of that scale, and a
    training step costs a quarter. Batch rather than group normalisation: a window's result must not depend on what
    else is in the window.

    Parameters
    ----------
    width
        Channels of the first level; each deeper level, up to the third, has twice as many.

    References
    ----------
    Ronneberger et al., "U-Net: convolutional networks for biomedical image segmentation", MICCAI 2015.
    """

    REACH = 96  # pixels beyond which nothing at the input matters for the output
    MULTIPLE = 16  # sides of the input are multiples of this

    def __init__(self, width: int) -> None:
        super().__init__()
        w = width
        self.width = width
        self.stem = nn.Sequential(
            nn.Conv2d(3, w, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(w), nn.ReLU(inplace=True)
        )
        self.down1, self.down2, self.down3 = block(w, 2 * w), block(2 * w, 4 * w), block(4 * w, 4 * w)
        self.up2, self.up1, self.up0 = block(8 * w, 2 * w), block(4 * w, w), block(2 * w, w)
        self.head = nn.Conv2d(w, 1, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Turn pixels [n, 3, h, w], 0 to 1, into logits [n, h, w]."""
        half = self.stem((pixels - 0.7) / 0.25)
        quarter = self.down1(nn.functional.max_pool2d(half, 2))
        eighth = self.down2(nn.functional.max_pool2d(quarter, 2))
        deep = self.down3(nn.functional.max_pool2d(eighth, 2))
        x = self.up2(torch.cat([_twice(deep), eighth], dim=1))
        x = self.up1(torch.cat([_twice(x), quarter], dim=1))
        x = self.up0(torch.cat([_twice(x), half], dim=1))
        logits = nn.functional.interpolate(self.head(x), scale_factor=2, mode="bilinear", align_corners=False)
        return logits[:, 0]


def _twice(x: Tensor) -> Tensor:
    return nn.functional.interpolate(x, scale_factor=2, mode="nearest")


def save_network(network: UNet, path: Path, **facts: Any) -> None:
    """Write weights as safetensors, with one metadata key `nephroscale` whose value is JSON.

    Parameters
    ----------
    network
        The network.
    path
        File to write.
    **facts
        JSON values to keep beside the weights, such as `mpp`.
    """
    metadata = json.dumps({"format": FORMAT, "width": network.width, **facts}, sort_keys=True)
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in sorted(network.state_dict().items())}
    save_file(tensors, path, metadata={"nephroscale": metadata})


def load_network(path: Path) -> tuple[UNet, dict[str, Any]]:
    """Read weights by :func:`save_network`.

    Parameters
    ----------
    path
        The file, or the folder that holds it as `weights.safetensors`.

    Returns
    -------
    tuple
        The network, ready to predict, and the facts kept beside the weights.
    """
    path = Path(path) / "weights.safetensors" if Path(path).is_dir() else Path(path)
    try:
        with safe_open(path, "pt") as stored:
            facts = json.loads((stored.metadata() or {}).get("nephroscale", "{}"))
            tensors = {name: stored.get_tensor(name) for name in sorted(stored.keys())}
    except SafetensorError as error:
        raise NephroscaleError(
            "These weights are damaged.", where=path.name, todo="Train the segmenter again."
        ) from error
    if facts.get("format") != FORMAT:
        raise NephroscaleError("These are not weights of this segmenter.", where=path.name, todo="Train it again.")
    network = UNet(int(facts["width"]))
    network.load_state_dict(tensors)
    return network.eval(), facts
