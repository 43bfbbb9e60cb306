"""The images themselves, for models that train their encoders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np


@dataclass(frozen=True)
class Pixels:
    """Hands images on as they are.

    Parameters
    ----------
    size_px
        Side of the images, pixels.
    """

    size_px: int
    name: str = "pixels"

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Give back the images, [n, S, S, 3] uint8."""
        return images


def create(settings: Mapping[str, Any], device: str) -> Pixels:  # noqa: ARG001  (every encoder is made this way)
    """Make the encoder from its entry of the configuration."""
    return Pixels(size_px=int(settings["size_px"]))
