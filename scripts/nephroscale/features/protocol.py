"""What every encoder offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np


class Encoder(Protocol):
    """Turns images into feature maps, or hands the images on as they are.

    Attributes
    ----------
    name
        The name by which the configuration calls it.
    size_px
        Side S of the square images that it takes, in pixels.
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
            Maps [n, h, w, C] float32; the `pixels` encoder gives back the images, uint8.
        """
        ...
