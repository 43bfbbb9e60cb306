"""Shapes in images of TEM: connected areas, how thin they are, and how even the grey levels are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

LITTLE, SPARSE = 0.2, 0.01  # shares of a mask that are set
SMALL = 40_000  # pixels of a mask that is looked at as a whole
BLOCK = 8  # pixels; the bytes of a word
BAND = 64  # rows that are looked at at once
ROUNDED = 1.5  # by how much a share of a block, from 0 to 255, may be too low
TRIANGULAR = 0.8  # share of the smallest triangle round an arrowhead that it fills
THIN = 1.8  # area of a thin shape, in squares of its thickness

Window = tuple[slice, slice]


def find_islands(mask: np.ndarray, least: int = 1) -> Iterator[tuple[Window, np.ndarray]]:
    """Yield the groups of set pixels of a mask, which has few: connected blocks of 8 x 8 pixels with at least one each.

    A connected shape is in one group, so that only the windows of groups need to be looked at.

    Parameters
    ----------
    mask
        bool [h, w].
    least
        Set pixels of a group.

    Yields
    ------
    tuple
        Rows and columns of the window of a group in the mask, and its own pixels there, bool.
    """
    if mask.size <= SMALL:
        if np.count_nonzero(mask) >= least:
            yield np.s_[0 : mask.shape[0], 0 : mask.shape[1]], mask
        return
    yield from islands_of(_occupied(mask) * 255, mask.shape, mask.__getitem__, least)


def islands_of(
    shares: np.ndarray, shape: tuple[int, ...], draw: Callable[[Window], np.ndarray], least: int
) -> Iterator[tuple[Window, np.ndarray]]:
    """Yield the same where it is about known how many set pixels blocks have.

    Parameters
    ----------
    shares
        uint8 [rows, columns], about the share of each block that is set, from 0 to 255; 0 only if no pixel is.
    shape
        Height and width of the mask.
    draw
        Gives a window of the mask.
    least
        Set pixels of a group.
    """
    _, groups, stats, _ = cv2.connectedComponentsWithStats((shares > 0).view(np.uint8), connectivity=8)
    places = np.flatnonzero(shares)
    most = np.bincount(groups.ravel()[places], (shares.ravel()[places] + ROUNDED) * (BLOCK * BLOCK / 255))
    for group in np.flatnonzero(most >= least).tolist():
        x, y, w, h, blocks = stats[group].tolist()
        window = np.s_[BLOCK * y : min(shape[0], BLOCK * (y + h)), BLOCK * x : min(shape[1], BLOCK * (x + w))]
        own = draw(window)
        if blocks < w * h:
            inside = (groups[y : y + h, x : x + w] == group).repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)
            own = own & inside[: own.shape[0], : own.shape[1]]
        if np.count_nonzero(own) >= least:
            yield window, own


def _occupied(mask: np.ndarray) -> np.ndarray:
    """Whether each block has a set pixel: uint8 [rows, columns]."""
    marked: np.ndarray = np.ascontiguousarray(mask).view(np.uint8)
    blocks = np.zeros([-(-side // BLOCK) for side in mask.shape], np.uint8)
    right = -mask.shape[1] % BLOCK
    for start in range(0, len(marked), BAND):  # most marks are in few rows
        band = marked[start : start + BAND]
        if not cv2.countNonZero(band):
            continue
        bottom = -len(band) % BLOCK
        if bottom or right:
            band = cv2.copyMakeBorder(band, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=0)
        words = band.view(np.uint64).reshape(len(band) // BLOCK, BLOCK, -1)
        first = start // BLOCK
        blocks[first : first + len(words)] = np.bitwise_or.reduce(words, axis=1) != 0
    return blocks


def group_places(places: np.ndarray, level: np.ndarray, width: int, apart: int) -> np.ndarray:
    """Group squares of 2 x 2 pixels that touch, and whose levels differ by little.

    Parameters
    ----------
    places
        Sorted places [N] of the squares' first pixels in the flattened image; no square begins in its last column.
    level
        Their grey levels [N], int16.
    width
        Width of the image.
    apart
        Largest difference of the levels.

    Returns
    -------
    np.ndarray
        Number [N] of the group of each square.
    """
    pairs = []
    for step in (1, width - 1, width, width + 1):
        at = np.minimum(np.searchsorted(places, places + step), len(places) - 1)
        one = np.flatnonzero((places[at] == places + step) & (np.abs(level[at] - level) <= apart))
        pairs.append(np.stack([one, at[one]]))
    one, other = np.concatenate(pairs, axis=1)
    links = coo_array((np.ones(len(one), np.uint8), (one, other)), (len(places), len(places)))
    return np.asarray(connected_components(links, directed=False)[1])


def contiguous(image: np.ndarray) -> np.ndarray:
    """Copy a part of an image, or of a view of one with rows and columns exchanged, row by row."""
    return np.ascontiguousarray(image) if image.strides[-1] == 1 else cv2.transpose(image.T)


def label_shapes(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Label the connected shapes of a mask.

    The order of labels is that of OpenCV, in a large mask with very few pixels that of the first pixels.

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
    number = np.count_nonzero(mask)
    if mask.size <= SMALL or number > LITTLE * mask.size:
        return label_window(mask)
    labels, stats = np.zeros(mask.shape, np.int32), [[0] * 5]
    order = _first_pixel if number <= SPARSE * mask.size else _first_square
    for index, (y, x, shape) in enumerate(sorted(find_shapes(mask), key=order), start=1):
        h, w = shape.shape
        labels[y : y + h, x : x + w][shape] = index
        stats.append([x, y, w, h, int(np.count_nonzero(shape))])
    return labels, np.array(stats, np.int32)


def label_window(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Label the same in a window full of shapes, in OpenCV's order.

    Where little is set, OpenCV's own statistics would take several times as long, since they count the background too.
    """
    marked = mask.view(np.uint8)
    if mask.size <= SMALL or cv2.countNonZero(marked) > LITTLE * mask.size:
        return cv2.connectedComponentsWithStats(marked, connectivity=8)[1:3]
    count, labels = cv2.connectedComponents(marked, connectivity=8)
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


def find_shapes(mask: np.ndarray) -> list[tuple[int, int, np.ndarray]]:
    """Find the connected shapes of a mask that has few pixels: row, column and mask of each."""
    found = []
    for (rows, columns), own in find_islands(mask):
        labels, stats = label_window(own)
        for index, (x, y, w, h, _) in enumerate(stats[1:].tolist(), start=1):
            found.append((rows.start + y, columns.start + x, labels[y : y + h, x : x + w] == index))
    return found


def _first_pixel(shape: tuple[int, int, np.ndarray]) -> tuple[int, int]:
    y, x, mask = shape
    return y, x + int(mask[0].argmax())


def _first_square(shape: tuple[int, int, np.ndarray]) -> tuple[int, int]:
    """Place of the first square of 2 x 2 pixels that has a part of a shape; by these, OpenCV numbers shapes."""
    y, x, mask = shape
    return y // 2, (x + int(mask[: 2 - y % 2].any(axis=0).argmax())) // 2


@cache
def square(reach: int) -> np.ndarray:
    """The neighbourhood of a pixel for OpenCV: all within a number of pixels to each side."""
    return np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)


def dilated(mask: np.ndarray, reach: int) -> np.ndarray:
    """Grow a mask, bool [h, w], by a number of pixels to each side."""
    return np.asarray(cv2.dilate(mask.view(np.uint8), square(reach)).view(bool))


def sparsely_dilated(mask: np.ndarray, reach: int) -> np.ndarray:
    """Grow a mask that has few pixels."""
    grown = np.zeros(mask.shape, bool)
    for window, own in find_islands(mask):
        around, place = widened(window, reach, mask.shape)
        wide = np.zeros((around[0].stop - around[0].start, around[1].stop - around[1].start), bool)
        wide[place] = own
        grown[around] |= dilated(wide, reach)
    return grown


def widened(window: Window, reach: int, shape: tuple[int, ...]) -> tuple[Window, Window]:
    """Widen a window by a number of pixels within an image of a shape; give the place of the old one in it, too."""
    rows, columns = window
    top, left = max(0, rows.start - reach), max(0, columns.start - reach)
    wide = slice(top, min(shape[0], rows.stop + reach)), slice(left, min(shape[1], columns.stop + reach))
    return wide, (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))


def share(mask: np.ndarray) -> float:
    """Share of a mask that is set."""
    return np.count_nonzero(mask) / mask.size


def median(levels: np.ndarray) -> float:
    """Median of grey levels or of their differences, [n], n not 0."""
    ordered = levels.copy()
    ordered.sort()
    return (float(ordered[len(levels) // 2]) + float(ordered[(len(levels) - 1) // 2])) / 2


def percentile(image: np.ndarray, share: float) -> float:
    """Give a percentile of grey levels, uint8 of any shape, by their histogram: the lowest level that reaches it."""
    counts = cv2.calcHist([image], [0], None, [256], [0, 256]).ravel().astype(np.int64).cumsum()
    return float(np.searchsorted(counts, share / 100 * counts[-1]))


def extremes(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest level among each pixel and its eight neighbours, uint8 [h, w] each."""
    return cv2.erode(image, square(1)), cv2.dilate(image, square(1))


def spread_of(image: np.ndarray) -> np.ndarray:
    """Range of levels among each pixel and its eight neighbours, [h, w] uint8."""
    low, high = extremes(image)
    return np.asarray(cv2.subtract(high, low))


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
    padded = cv2.copyMakeBorder(shape.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    thickness = 2 * float(cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE).max())
    return bool(np.count_nonzero(shape) >= THIN * thickness**2)
