"""A TEM image without its burned-in marks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nephroscale.errors import Rejected
from nephroscale.slides.panels import find_panels
from nephroscale.slides.seams import find_seam
from nephroscale.tem.fill import fill_marks
from nephroscale.tem.marks import find_marks, find_picture
from nephroscale.tem.shapes import dilated

COLOUR_REACH = 1  # pixels round a coloured mark that its smoothing may have changed; its colour shows most of them


@dataclass(frozen=True)
class Cleaned:
    """A TEM image without its burned-in marks.

    Parameters
    ----------
    image
        uint8 [h, w], data strips cut off, other marks filled.
    mask
        bool, of the shape of the raw image, pixels of marks and strips.
    top
        Row of the raw image that is row 0 of `image`.
    left
        Column of the raw image that is column 0 of `image`.
    """

    image: np.ndarray
    mask: np.ndarray
    top: int
    left: int = 0

    @property
    def inner_mask(self) -> np.ndarray:
        """The mask of filled pixels, of the shape of `image`."""
        height, width = self.image.shape
        return self.mask[self.top : self.top + height, self.left : self.left + width]


def clean_burned_in(image: np.ndarray, drawn: np.ndarray | None = None, *, network: bool = True) -> Cleaned:
    """Cut data strips off a TEM image and fill burned-in bars, labels and arrows with tissue's texture.

    Parameters
    ----------
    image
        uint8 [h, w].
    drawn
        bool [h, w], pixels in another colour than the rest; marks for certain.
    network
        Whether the network, too, looks for marks.

    Returns
    -------
    Cleaned
        The image without marks, and their mask.

    Raises
    ------
    Rejected
        When it shows several pictures, or one with an inset.
    """
    picture = find_picture(image)
    top, left = (axis.start for axis in picture)
    mask = np.ones(image.shape, bool)
    inner = np.ascontiguousarray(image[picture])
    if panels := find_panels(inner):
        raise Rejected(panels)
    marks = find_marks(inner, network=network)
    if drawn is not None and drawn.any():
        marks |= dilated(drawn, COLOUR_REACH)[picture]
    if several := find_seam(inner, marks):
        raise Rejected(several)
    mask[picture] = marks
    return Cleaned(fill_marks(inner, marks), mask, top, left)
