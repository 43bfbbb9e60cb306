"""Find small text, thin lines and dashes of any grey level by runs of equal pixels, in images not compressed since.

The noise of tissue seldom gives three pixels in a row, or in a column, exactly one level. Strokes that are too thin for
squares of equal pixels have many such runs close together, all of one level, while runs of tissue have many levels.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from nephroscale.tem.level import is_end_of_tissue
from nephroscale.tem.screen import Levels
from nephroscale.tem.shapes import Window, dilated, label_window, widened

BLOCK = 16  # pixels; runs are counted in squares of 2 x 2 blocks
LEAST, AS_USUAL = 7, 2  # runs of a mark in a square beyond those of tissue, and how many times the most of usual levels
LEAST_AFTER_JPEG, BLOCKS_SHOW = 10, 0.8  # the same where JPEG shows: share of the usual runs in two of eight columns
LEAST_KNOWN = 4  # the same of a level that a mark has
USUAL, USUAL_KNOWN = 3, 2  # times the runs of another level in the square that a level has, and one that a mark has
CLOSE, USUAL_CLOSE = 3, 2  # levels that nearly covered pixels of a mark have, too; times the runs of these
MOST_COUNTED = 63  # runs in a block
NEAR = 12  # levels within which others are compared: the tissue has them, too
MOST = 0.025  # share of the pixels that are in the middle of a run; with more, equal levels say nothing
FEW = 8  # levels that marks may have
CONNECTED = 6  # pixels of a part of a mark that has no run
STEP, AROUND = 12, 0.6  # levels by which the surroundings of a part differ, and the share of them that do
REACH, COVERED = 3, 0.5  # pixels round a part in which smoothed edges lie, and share of such a pixel that is drawn
TALLEST = 32  # pixels of a part whose smoothed edges are looked for: a letter, a dash
SURROUNDINGS = 31  # pixels, a side of those whose median is the level without marks
BESIDE = 8  # pixels beside a square that are looked at
BAND = 200_000  # pixels that are looked at at once


def find_runs(levels: Levels) -> Iterator[tuple[Window, np.ndarray]]:
    """Find parts of marks of exactly one grey level.

    Parameters
    ----------
    levels
        Of an image without data strips.

    Yields
    ------
    tuple
        Rows and columns of a window with a mark, and bool of its shape.
    """
    image = levels.image
    if min(image.shape) < 3:
        return
    places = levels.not_saturated(_middles(image))
    if not len(places) or len(places) > MOST * image.size:
        return
    counts = _count(image, places)
    most = _surplus(counts[counts.max(axis=2) >= LEAST_KNOWN], USUAL).max(axis=0, initial=0)
    usual = int(np.sort(most)[-FEW - 1])
    least = max(LEAST_AFTER_JPEG if _show_blocks(places % image.shape[1]) else LEAST, AS_USUAL * usual)
    for level in np.flatnonzero(most >= least).tolist():
        if is_end_of_tissue(levels.counts, level):
            continue
        first = max(0, level - NEAR)
        near = counts[:, :, first : level + NEAR + 1]
        many = near[:, :, level - first] >= max(LEAST_KNOWN, usual)
        own = np.zeros(many.shape, np.uint8)
        own[many] = _surplus(near[many], USUAL_KNOWN)[:, level - first] >= max(LEAST_KNOWN, usual)
        for x, y, w, h in cv2.connectedComponentsWithStats(own, connectivity=8)[2][1:, :4].tolist():
            square = np.s_[BLOCK * (y - 1) : BLOCK * (y + h), BLOCK * (x - 1) : BLOCK * (x + w)]
            window, _ = widened(square, BESIDE, image.shape)
            if (shape := _parts(image[window], level)).any():
                yield window, shape


def _middles(image: np.ndarray) -> np.ndarray:
    """Places in the flattened image, ascending, of pixels whose two neighbours in the row, or the column, are equal."""
    height, width = image.shape
    rows = max(3, BAND // width)
    found = []
    for start in range(0, height, rows):
        first, last = max(0, start - 1), min(height, start + rows + 1)
        band = image[first:last]
        middles = np.zeros(band.shape, np.uint8)
        across = cv2.compare(band[:, 1:], band[:, :-1], cv2.CMP_EQ)
        cv2.bitwise_and(across[:, 1:], across[:, :-1], dst=middles[:, 1:-1])
        if len(band) > 2:
            down = cv2.compare(band[1:], band[:-1], cv2.CMP_EQ)
            cv2.bitwise_or(middles[1:-1], cv2.bitwise_and(down[1:], down[:-1]), dst=middles[1:-1])
        found.append(np.flatnonzero(middles[start - first : start - first + rows].view(bool)) + start * width)
    return np.concatenate(found)


def _show_blocks(columns: np.ndarray) -> bool:
    """Whether places are fewer where blocks of 8 x 8 pixels meet."""
    numbers = np.bincount(columns % 8, minlength=8)
    pairs = numbers + np.roll(numbers, 1)
    return bool(pairs.min() < BLOCKS_SHOW * np.median(pairs))


def _count(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Count the runs of each level in squares of 2 x 2 blocks that overlap by half: uint8 [rows, columns, 256]."""
    height, width = (side // BLOCK + 3 for side in image.shape)
    rows, columns = np.divmod(places, image.shape[1])
    block = (rows // BLOCK + 1) * width + columns // BLOCK + 1
    keys, number = np.unique(block * 256 + image.ravel()[places], return_counts=True)
    blocks = np.zeros((height, width, 256), np.uint8)
    blocks.ravel()[keys] = np.minimum(number, MOST_COUNTED)
    pairs = blocks[1:] + blocks[:-1]
    return np.asarray(pairs[:, 1:] + pairs[:, :-1])


def _surplus(counts: np.ndarray, times: int) -> np.ndarray:
    """By how many runs a level has more than so many times those of any level near it: int16 [n, levels]."""
    padded = np.pad(counts, ((0, 0), (NEAR, NEAR)))
    close, near = np.zeros_like(counts), np.zeros_like(counts)
    for step in (*range(-NEAR, 0), *range(1, NEAR + 1)):
        most = close if abs(step) <= CLOSE else near
        np.maximum(most, padded[:, NEAR + step : NEAR + step + counts.shape[1]], out=most)
    expected = np.maximum(min(times, USUAL_CLOSE) * close.astype(np.int16), times * near.astype(np.int16))
    return np.asarray(counts.astype(np.int16) - expected)


def _parts(image: np.ndarray, level: int) -> np.ndarray:
    """Connected pixels of a level in a window, and their smoothed edges, if the surroundings differ: bool [h, w]."""
    away = cv2.absdiff(image, np.full_like(image, level))
    other = away > STEP
    labels, stats = label_window(away == 0)
    found, letters = np.zeros(image.shape, bool), np.zeros(image.shape, bool)
    fits = stats[:, 4] >= CONNECTED
    fits[labels.ravel()[_middles(image)]] = True
    for index in (np.flatnonzero(fits[1:]) + 1).tolist():
        x, y, w, h = stats[index, :4].tolist()
        around, _ = widened(np.s_[y : y + h, x : x + w], 3, image.shape)
        shape = labels[around] == index
        ring = dilated(shape, 3) & ~dilated(shape, 1)
        if np.count_nonzero(ring & other[around]) >= AROUND * np.count_nonzero(ring):
            found[around] |= shape
            if max(h, w) <= TALLEST:
                letters[around] |= shape
    if not letters.any():
        return found
    tissue = cv2.medianBlur(image, SURROUNDINGS)
    drawn = away < (1 - COVERED) * cv2.absdiff(tissue, np.full_like(tissue, level)).astype(np.float32)
    return np.asarray(found | (dilated(letters, REACH) & drawn))
