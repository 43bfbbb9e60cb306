"""Scan a TEM image once for what all searches for marks start from: squares of equal or even pixels, and counts.

A band of rows at a time stays in the processor's cache, where a step takes a quarter of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from nephroscale.tem.shapes import square

PURE, PALE_END = 244, 25  # the level of what was drawn in white, and levels at the ends of the range
BLOCK = 16  # pixels; its numbers are averages of averages of four
BAND = 400_000  # pixels that are looked at at once

ENDS = tuple((level, white) for each in (PURE, 255 - PALE_END) for level, white in ((each, True), (255 - each, False)))

EVEN = 8  # range of the levels in a square of 2 x 2 pixels of a core
STEEP, WITHIN = 40, 2  # range of levels among neighbours at an edge, and pixels from a square to it
DENSE, DENSE_IN = 6, 5  # squares among those that begin in so many rows and columns
HALO = 1 + WITHIN + DENSE_IN // 2  # rows beyond a band that matter to it


@dataclass(frozen=True)
class BlockSurvey:
    """Where an image has white, black, pale, dark and, unless evenness says nothing, even pixels.

    Parameters
    ----------
    numbers
        Of each kind, about how many pixels a block of 16 pixels has, uint8 [rows, columns].
    shares
        About the share of a block of 8 pixels that is of the kind, from 0 to 255; 0 only if no pixel is.
    """

    numbers: list[np.ndarray]
    shares: list[np.ndarray]


@dataclass(frozen=True)
class Survey:
    """What an image has.

    Parameters
    ----------
    blocks
        Where it has pixels of each kind.
    equal
        Places in the flattened image, ascending, of squares of 2 x 2 equal pixels (of their first pixels).
    even
        The same of even squares among others, near a steep edge.
    is_even
        Whether an even square of 2 x 2 pixels begins at a pixel: uint8 [h, w], 1 or 0.
    """

    blocks: BlockSurvey
    equal: np.ndarray
    even: np.ndarray
    is_even: np.ndarray


def survey_image(image: np.ndarray, even: float | None) -> Survey:
    """Look through an image.

    Parameters
    ----------
    image
        uint8 [h, w].
    even
        Range of the levels among neighbours up to which a pixel is even; None if evenness says nothing.
    """
    height, width = image.shape
    rows = BLOCK * max(1, BAND // (BLOCK * width))
    counts: list[list[np.ndarray]] = [[] for _ in range(4 if even is None else 5)]
    equal, sharp = [], []
    is_even = np.empty(image.shape, np.uint8)
    scratch = np.empty((min(rows, height), width), np.uint8)
    for start in range(0, height, rows):
        stop, first, last = min(height, start + rows), max(0, start - HALO), min(height, start + rows + HALO)
        inner = slice(start - first, stop - first)
        wide = cv2.copyMakeBorder(image[first:last], 1, 1, 1, 1, cv2.BORDER_REPLICATE)
        low, high = _of_four(cv2.min, wide), _of_four(cv2.max, wide)
        in_square = cv2.subtract(high[1:, 1:], low[1:, 1:])
        low, high = _of_four(cv2.min, low), _of_four(cv2.max, high)
        spread = cv2.subtract(high, low)
        squares = _without_last(cv2.threshold(in_square, 0, 1, cv2.THRESH_BINARY_INV)[1], at_bottom=last == height)
        equal.append(_places(squares[inner], start * width))
        squares = cv2.threshold(in_square, EVEN, 1, cv2.THRESH_BINARY_INV, dst=in_square)[1]
        is_even[start:stop] = _without_last(squares, at_bottom=last == height)[inner]
        sharp.append(_places(_near_edges(squares, spread)[inner], start * width))
        lowest, highest, _, _ = cv2.minMaxLoc(image[start:stop])
        for of_kind, (level, white) in zip(counts, ENDS, strict=False):
            if (highest < level) if white else (lowest > level):
                of_kind.append(_quarter(np.zeros((stop - start, width), np.uint8)))
                continue
            limit, kind = (level - 1, cv2.THRESH_BINARY) if white else (level, cv2.THRESH_BINARY_INV)
            of_kind.append(_quarter(cv2.threshold(image[start:stop], limit, 255, kind, dst=scratch[: stop - start])[1]))
        if even is not None:
            counts[4].append(_quarter(even_among(spread[inner], low[inner], high[inner], even)))
    shares = [_half(np.concatenate(each)) for each in counts]
    blocks = BlockSurvey([_half(each) for each in shares], shares)
    return Survey(blocks, np.concatenate(equal), np.concatenate(sharp), is_even)


def _of_four(extreme: Callable[[np.ndarray, np.ndarray], np.ndarray], image: np.ndarray) -> np.ndarray:
    """The extreme level of each pixel, that to the right, and the two below: [h - 1, w - 1]."""
    pairs = extreme(image[:-1], image[1:])
    return extreme(pairs[:, :-1], pairs[:, 1:])


def _places(found: np.ndarray, first: int) -> np.ndarray:
    """Places in a flattened image of the pixels of a band from a place on that are 1, not 0."""
    return np.asarray(np.flatnonzero(found.view(bool)) + first)


def _without_last(squares: np.ndarray, *, at_bottom: bool) -> np.ndarray:
    """Drop squares that would begin in the last column of an image, or in its last row."""
    squares[:, -1] = 0
    if at_bottom:
        squares[-1] = 0
    return squares


def _near_edges(even: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Find even squares near a steep edge, several together: those of noise lie far from each other."""
    steep = cv2.threshold(spread, STEEP - 1, 1, cv2.THRESH_BINARY)[1]
    cv2.bitwise_and(even, cv2.dilate(steep, square(WITHIN)), dst=even)
    number = cv2.boxFilter(even, -1, (DENSE_IN, DENSE_IN), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return cv2.bitwise_and(even, cv2.threshold(number, DENSE - 1, 1, cv2.THRESH_BINARY)[1])


def even_among(spread: np.ndarray, low: np.ndarray, high: np.ndarray, limit: float) -> np.ndarray:
    """Find pixels like their neighbours; JPEG makes even white and black a little uneven. The arrays are overwritten.

    Parameters
    ----------
    spread, low, high
        Range, lowest and highest of the levels among neighbours, uint8 [h, w].
    limit
        Largest range of an even pixel; at the ends of the scale it may be larger.

    Returns
    -------
    numpy.ndarray
        uint8 [h, w], 255 where even, else 0.
    """
    found = cv2.threshold(spread, limit, 255, cv2.THRESH_BINARY_INV, dst=spread)[1]
    cv2.bitwise_or(found, cv2.threshold(low, 254 - PALE_END, 255, cv2.THRESH_BINARY, dst=low)[1], dst=found)
    return cv2.bitwise_or(found, cv2.threshold(high, PALE_END, 255, cv2.THRESH_BINARY_INV, dst=high)[1], dst=found)


def _quarter(marked: np.ndarray) -> np.ndarray:
    """Count the pixels that are 255, not 0, in blocks of 4 x 4 pixels by repeated averages of four."""
    bottom, right = (-side % BLOCK for side in marked.shape)
    if bottom or right:
        marked = cv2.copyMakeBorder(marked, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=0)
    return _half(_half(marked))


def _half(image: np.ndarray) -> np.ndarray:
    height, width = image.shape
    return cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
