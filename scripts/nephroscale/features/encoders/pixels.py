"""The images themselves, for models that train their encoders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from nephroscale.features.settings import EncoderSettings


@dataclass(frozen=True)
class Pixels:
    """Returns images unchanged.

    Parameters
    ----------
    size_px
        Side of the images, pixels.
    """

    size_px: int
    name: str = "pixels"

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Return the images, [n, S, S, 3] uint8."""
        return images


def create(settings: EncoderSettings, device: str) -> Pixels:  # noqa: ARG001  (every encoder is created this way)
    """Create the encoder from its settings."""
    return Pixels(size_px=settings.size_px)
