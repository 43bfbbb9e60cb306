"""Shapes in images of TEM: connected areas, how thin they are, and how even the grey levels are."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

LITTLE, SPARSE = 0.1, 0.01  # set pixels, as shares of a mask
SMALL = 40_000  # pixels of a mask with whose background OpenCV is quick
TRIANGULAR = 0.8  # share of the smallest triangle round an arrowhead that it fills
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
    number = cv2.countNonZero(mask.view(np.uint8))
    if number > LITTLE * mask.size or mask.size <= SMALL:
        return cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)[1:3]
    if number <= SPARSE * mask.size:
        return _label_runs(mask)
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


def _label_runs(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Label the shapes of a mask with few pixels by its runs along rows, several times as fast as OpenCV does."""
    labels, width = np.zeros(mask.shape, np.int32), mask.shape[1]
    places = np.flatnonzero(mask)
    if places.size == 0:
        return labels, np.zeros((1, 5), np.int32)
    rows = places // width
    first = np.flatnonzero(np.concatenate([[True], (np.diff(places) != 1) | (np.diff(rows) != 0)]))
    lengths = np.diff(np.append(first, places.size))
    row = rows[first]
    start = places[first] - row * width
    end = start + lengths  # exclusive
    # A run touches those of the row above that begin before or at its end, and end after or at its start.
    stride = width + 2
    low = np.searchsorted(row * stride + end, (row - 1) * stride + start)
    high = np.searchsorted(row * stride + start, (row - 1) * stride + end, side="right")
    touching = np.maximum(high - low, 0)
    below = np.repeat(np.arange(row.size), touching)
    above = np.arange(below.size) - np.repeat(touching.cumsum() - touching, touching) + low[below]
    links = coo_array((np.ones(below.size, bool), (below, above)), shape=(row.size, row.size))
    count, own = connected_components(links, directed=False)
    own = own.astype(np.int32) + 1
    stats = np.full((count + 1, 5), max(mask.shape), np.int32)
    beyond = np.zeros((count + 1, 2), np.int32)
    for axis, (lowest, highest) in enumerate(((start, end), (row, row + 1))):
        np.minimum.at(stats[:, axis], own, lowest.astype(np.int32))
        np.maximum.at(beyond[:, axis], own, highest.astype(np.int32))
    stats[:, 2:4] = beyond - stats[:, :2]
    stats[:, 4] = np.bincount(own, lengths, count + 1)
    labels.ravel()[places] = np.repeat(own, lengths)
    return labels, stats


def dilated(mask: np.ndarray, reach: int) -> np.ndarray:
    """Grow a mask, bool [h, w], by a number of pixels to each side."""
    grown: np.ndarray = cv2.dilate(mask.view(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    return grown


def percentile(image: np.ndarray, share: float) -> float:
    """Give a percentile of grey levels, uint8 of any shape, by their histogram: the lowest level that reaches it."""
    counts = cv2.calcHist([image], [0], None, [256], [0, 256]).ravel().astype(np.int64).cumsum()
    return float(np.searchsorted(counts, share / 100 * counts[-1]))


def extremes(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest level among each pixel and its eight neighbours, uint8 [h, w] each."""
    square = np.ones((3, 3), np.uint8)
    return cv2.erode(image, square), cv2.dilate(image, square)


def spread_of(image: np.ndarray) -> np.ndarray:
    """Range of levels among each pixel and its eight neighbours, [h, w] uint8."""
    low, high = extremes(image)
    spread: np.ndarray = cv2.subtract(high, low)
    return spread


def is_arrowhead(shape: np.ndarray) -> bool:
    """Whether a shape is a triangle, perhaps with a notch; a disc fills 60 % of the triangle round it."""
    points = cv2.findContours(shape.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
    if len(points) != 1 or len(points[0]) < 3:
        return False
    around = cv2.minEnclosingTriangle(points[0].astype(np.float32))[0]
    hull = cv2.contourArea(cv2.convexHull(points[0]))
    return bool(hull >= TRIANGULAR * around) and cv2.contourArea(points[0]) >= hull / 2


def is_thin(shape: np.ndarray) -> bool:
    """Whether a shape is a letter, a line or an arrow rather than a blob: its area holds several inscribed squares."""
    padded = np.pad(shape, 1).astype(np.uint8)
    thickness = 2 * float(cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE).max())
    return float(shape.sum()) >= THIN * thickness**2
