"""Find ticks and letters beside a line, such as a scale bar, by its grey level."""

from __future__ import annotations

import cv2
import numpy as np

from nephroscale.tem.shapes import dilated, is_thin, label_shapes

REACH, ASIDE = 64, 24  # pixels above and below a line, and beyond its ends, within which its text is looked for
NEAR, NEAR_LETTER, MEDIAN = 5, 14, 5.0  # levels by which ticks, letters and most of a letter may differ from the line
TICK = 20  # pixels
STEP, ALL_AROUND = 25, 0.85  # levels between a letter and its surroundings, and the share of these
LEAST, TALLEST, WIDEST = 10, 56, 2.5  # pixels of a letter; its height; its width in heights
LINE_OF = 2  # letters
ALONE = 0.08  # share of the surroundings that may have the line's level, if ticks are to be told from tissue


def find_beside(image: np.ndarray, line: tuple[slice, slice], level: float) -> tuple[tuple[slice, slice], np.ndarray]:
    """Find the ticks and letters at a line along a row.

    Parameters
    ----------
    image
        uint8 [h, w].
    line
        Rows and columns of the line.
    level
        Its grey level.

    Returns
    -------
    tuple
        Rows and columns of the window that was searched, and bool of its shape.
    """
    rows, columns = line
    height, width = image.shape
    top, left = max(0, rows.start - REACH), max(0, columns.start - ASIDE)
    window = np.s_[top : min(height, rows.stop + REACH), left : min(width, columns.stop + ASIDE)]
    part = image[window]
    own = np.zeros(part.shape, bool)
    own[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = True
    away = cv2.absdiff(part, np.full_like(part, round(level)))
    return window, _ticks(away, own) | _letters(away, own)


def _ticks(away: np.ndarray, own: np.ndarray) -> np.ndarray:
    near, reach = away <= NEAR, dilated(own, TICK)
    if near[reach & ~dilated(own, 2)].mean() > ALONE:
        return np.zeros(own.shape, bool)
    labels = label_shapes((near & reach) | own)[0]
    return np.asarray(np.isin(labels, np.unique(labels[own])) & ~own)


def _letters(away: np.ndarray, own: np.ndarray) -> np.ndarray:
    found = np.zeros(own.shape, bool)
    labels, stats = label_shapes((away <= NEAR_LETTER) & ~dilated(own, 2))
    x, y, w, h, area = stats.T
    fits = (area >= LEAST) & (h >= 6) & (h <= TALLEST) & (w <= WIDEST * h)
    fitting = np.flatnonzero(fits[1:]) + 1
    candidates = np.isin(labels, fitting)
    letters = []
    for index in fitting.tolist():
        at = np.s_[max(0, y[index] - 5) : y[index] + h[index] + 5, max(0, x[index] - 5) : x[index] + w[index] + 5]
        shape = labels[at] == index
        # Letters of a word are as near to each other.
        ring = dilated(shape, 3) & ~dilated(shape, 1) & ~dilated(candidates[at] & ~shape, 1)
        even = float(np.median(away[at][shape])) <= MEDIAN
        if even and ring.any() and is_thin(shape) and float((away[at][ring] > STEP).mean()) >= ALL_AROUND:
            letters.append((index, at, shape))
    for index, at, shape in letters:
        middle = y[index] + h[index] / 2
        if sum(y[other] <= middle <= y[other] + h[other] for other, _, _ in letters) >= LINE_OF:
            found[at] |= shape
    return found
