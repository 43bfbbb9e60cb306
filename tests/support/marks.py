"""Marks that were found in windows of a micrograph."""

from collections.abc import Iterable

import numpy as np

from nephroscale.tem.shapes import Window


def unite(shape: tuple[int, ...], found: Iterable[tuple[Window, np.ndarray]]) -> np.ndarray:
    """Set what was found in windows of an image, bool, in a mask of its shape."""
    mask = np.zeros(shape, bool)
    for window, own in found:
        mask[window] |= own
    return mask
