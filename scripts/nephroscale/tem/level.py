"""Find text, arrows, circles and lines of any grey level by their one level, in images that were not compressed since.

Noise changes the level from pixel to pixel, so that few neighbours are equal. What was drawn has dozens of connected
pixels of exactly one level. JPEG changes these, and nothing is found there.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from nephroscale.tem.screen import Levels
from nephroscale.tem.shapes import Window, dilated, group_places, is_arrowhead, is_thin, label_window, widened

SQUARES = 3  # squares of 2 x 2 equal pixels that touch, for each that usually do in the tissue
LEAST, LEAST_MORE = 22, 12  # connected pixels of one level, and how many more for each further square as usual
LEAST_BESIDE = 8  # connected pixels of the level of a mark, near it
MOST_EQUAL = 0.0015  # share of the pixels that begin a square of equal ones; with more, equal levels say nothing
FEW = 8  # levels that marks may have, and that do not count to this share
REACH = 48  # pixels round a mark within which its smaller parts are looked for
DENSE = 0.04  # share of the pixels there that may have its level
END, END_OF_ITS = 0.001, 0.2  # pixels beyond an end of the range, as shares of the image and of those of the end
SPREAD = 3  # levels by which JPEG spreads such an end
TAIL, TAIL_REACH = 0.005, 6  # share of the darkest or brightest pixels, and levels near theirs that are an end too
ALIKE, MOST_ALIKE = 8, 0.3  # levels near that of a mark at an end, and the share of its surroundings that may have them
CLOSE, FADING = 10, 0.1  # levels inside of such an end, and how many pixels of them there are for one of it at least
WIDEST, HIGHEST = 0.95, 0.5  # of the image
MIXED = 0.3  # share of the surroundings that may have the level of a mark


def find_one_level(levels: Levels) -> Iterator[tuple[Window, np.ndarray]]:
    """Find shapes of exactly one grey level.

    Parameters
    ----------
    levels
        Of an image without data strips.

    Yields
    ------
    tuple
        Rows and columns of a window with shapes, and bool of its shape.
    """
    image = levels.image
    found = np.zeros(image.shape, bool)
    if min(image.shape) < 2:
        return
    places = levels.not_saturated(levels.survey.equal)
    common = np.sort(np.bincount(image.ravel()[places], minlength=256))[:-FEW].sum() > MOST_EQUAL * image.size
    if common or not len(places):
        return
    squares = group_places(places, image.ravel()[places].astype(np.int16), image.shape[1], 0)
    numbers = np.bincount(squares, minlength=1)
    below = levels.counts.cumsum() / image.size
    darkest, brightest = (int(np.searchsorted(below, share)) for share in (TAIL, 1 - TAIL))
    usual = _usual(numbers[squares], image.ravel()[places])
    for group in np.flatnonzero(numbers >= SQUARES * usual).tolist():
        rows, columns = np.divmod(places[squares == group], image.shape[1])
        row, column = int(rows[0]), int(columns[0])
        level = int(image[row, column])
        if found[row, column] or is_end_of_tissue(levels.counts, level):
            continue
        box = np.s_[row : int(rows[-1]) + 1, int(columns.min()) : int(columns.max()) + 1]
        if box[0].stop - row > HIGHEST * image.shape[0] or box[1].stop - box[1].start > WIDEST * image.shape[1]:
            continue
        window, _ = widened(box, REACH, image.shape)
        place = row - window[0].start, column - window[1].start
        shapes = _at(
            image[window],
            place,
            LEAST + LEAST_MORE * (usual - 1),
            at_end=not darkest + TAIL_REACH < level < brightest - TAIL_REACH,
        )
        found[window] |= shapes
        yield window, shapes


def _usual(numbers: np.ndarray, levels: np.ndarray) -> int:
    """Largest number of squares that touch at a usual level, from the number of each square's group and its level."""
    most = np.zeros(256, np.int64)
    np.maximum.at(most, levels, numbers)
    return max(1, int(np.sort(most)[-FEW - 1]))


def is_end_of_tissue(counts: np.ndarray, level: int) -> bool:
    """Whether a level is an end of the tissue's range: tissue has hardly any beyond, and many a little inside."""
    beyond = counts[: max(0, level - SPREAD)].sum(), counts[level + SPREAD + 1 :].sum()
    close = counts[level + 2 : level + CLOSE].sum(), counts[max(0, level - CLOSE + 1) : max(0, level - 1)].sum()
    few = max(END * counts.sum(), END_OF_ITS * counts[level])
    return any(out <= few and near > FADING * counts[level] for out, near in zip(beyond, close, strict=True))


def _at(image: np.ndarray, place: tuple[int, int], least: int, *, at_end: bool) -> np.ndarray:
    """Return the mark with a pixel at a place in a window, and its smaller parts there: bool [h, w]."""
    own = image == image[place]
    alike = cv2.absdiff(image, np.full_like(image, image[place])) <= ALIKE if at_end else None
    labels, stats = label_window(own)
    index = int(labels[place])
    nothing = np.zeros(image.shape, bool)
    if stats[index, 4] < least:
        return nothing
    mark = labels == index
    if not _stands_out(mark, own, alike) or not (is_thin(mark) or is_arrowhead(mark)):
        return nothing
    parts = [
        int(part)
        for part in np.flatnonzero(stats[:, 4] >= LEAST_BESIDE)
        if part not in {0, index} and _stands_out(*_near(stats[part], labels == part, own, alike))
    ]
    shapes: np.ndarray = mark | np.isin(labels, parts)
    rest = np.count_nonzero(own & ~shapes) / own.size
    return shapes if rest <= DENSE else mark


def _near(
    stats: np.ndarray, shape: np.ndarray, own: np.ndarray, alike: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    x, y, w, h = stats[:4].tolist()
    at = widened(np.s_[y : y + h, x : x + w], 4, shape.shape)[0]
    return shape[at], own[at], None if alike is None else alike[at]


def _stands_out(shape: np.ndarray, own: np.ndarray, alike: np.ndarray | None) -> bool:
    """Whether most of the surroundings of a shape have other levels; at an end of the range, quite other levels."""
    ring = dilated(shape, 3) & ~dilated(shape, 1)
    number = int(np.count_nonzero(ring))
    if alike is not None and np.count_nonzero(alike & ring) > MOST_ALIKE * number:
        return False
    return number > 0 and bool(np.count_nonzero(own & ring) <= MIXED * number)
