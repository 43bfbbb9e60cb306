"""What every encoder offers, and what names its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np


class NamedWeights(Protocol):
    """Settings that name an encoder and its weights: of `features.encoders` and of a model's `encoder`."""

    @property
    def name(self) -> str:
        """Name of the encoder."""

    @property
    def weights(self) -> str | None:
        """Path of the weights; None for encoders without."""

    @property
    def digest(self) -> str | None:
        """BLAKE3 digest that the weights must have."""


class Encoder(Protocol):
    """Turns images into feature maps, or returns the images unchanged.

    Attributes
    ----------
    name
        Name of the encoder in the configuration.
    size_px
        Side S of the square input images, in pixels.
    """

    name: str
    size_px: int

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Encode a batch.

        Parameters
        ----------
        images
            [n, S, S, 3] uint8, RGB (fluorescence and electron micrographs: three equal channels).

        Returns
        -------
        numpy.ndarray
            Maps [n, h, w, C] float32; the `pixels` encoder returns the images, uint8.
        """
        ...
