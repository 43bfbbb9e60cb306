"""Shapes in images of TEM: connected areas, how thin they are, and how even the grey levels are."""

from __future__ import annotations

import cv2
import numpy as np

LITTLE = 0.1  # of an image
THIN = 1.8  # area of a thin shape, in squares of its thickness


def label_shapes(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Label the connected shapes of a mask.

    Where little is set, OpenCV's own statistics would take several times as long, since they count the background too.

    Parameters
    ----------
    mask
        bool [h, w].

    Returns
    -------
    labels
        int32 [h, w], 0 outside of shapes.
    stats
        int32 [labels, 5]: x, y, width, height and area; of label 0 they mean nothing.
    """
    if cv2.countNonZero(mask.view(np.uint8)) > LITTLE * mask.size:
        return cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)[1:3]
    count, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)
    stats = np.zeros((count, 5), np.int32)
    places = np.flatnonzero(mask)
    own = labels.ravel()[places].astype(np.intp)
    stats[:, 4] = np.bincount(own, minlength=count)
    rows, columns = (axis.astype(np.int32) for axis in np.divmod(places, mask.shape[1]))
    for column, at in enumerate((columns, rows)):
        low, high = np.full(count, max(mask.shape), np.int32), np.zeros(count, np.int32)
        np.minimum.at(low, own, at)
        np.maximum.at(high, own, at)
        stats[:, column], stats[:, column + 2] = low, high - low + 1
    return labels, stats


def dilated(mask: np.ndarray, reach: int) -> np.ndarray:
    """Grow a mask, bool [h, w], by a number of pixels to each side."""
    grown: np.ndarray = cv2.dilate(mask.view(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    return grown


def percentile(image: np.ndarray, share: float) -> float:
    """Give a percentile of grey levels, uint8 of any shape, by their histogram: the lowest level that reaches it."""
    counts = cv2.calcHist([image], [0], None, [256], [0, 256]).ravel().astype(np.int64).cumsum()
    return float(np.searchsorted(counts, share / 100 * counts[-1]))


def spread_of(image: np.ndarray) -> np.ndarray:
    """Range of levels among each pixel and its eight neighbours, [h, w] uint8."""
    square = np.ones((3, 3), np.uint8)
    spread: np.ndarray = cv2.subtract(cv2.dilate(image, square), cv2.erode(image, square))
    return spread


def is_thin(shape: np.ndarray) -> bool:
    """Whether a shape is a letter, a line or an arrow rather than a blob: its area holds several inscribed squares."""
    padded = np.pad(shape, 1).astype(np.uint8)
    thickness = 2 * float(cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE).max())
    return float(shape.sum()) >= THIN * thickness**2
