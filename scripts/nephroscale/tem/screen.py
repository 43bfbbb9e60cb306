"""Where marks can be in a TEM image: the few parts of it with white, black or even pixels close together.

Finding marks costs many passes over the pixels; choosing these parts costs few.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from nephroscale.tem.shapes import extremes, percentile, spread_of

PURE, PALE_END = 244, 25  # the level of what was drawn in white, and levels at the ends of the range
CLOSE = (PURE - 24, PURE - 4)  # levels that tissue which reaches pure ones has more often, and drawn shapes have rarely
FEW = 0.002  # share of pure pixels that cost little tissue even if they are tissue
EVEN = 0.2  # spread of the levels among neighbours in a drawn shape, as a share of the median spread
MOST_SPREAD = 6.0  # and in levels at most
MOST_EVEN = 0.2  # of an image
NOISY = 0.65  # spread after a median filter, as a share: in less noisy images evenness alone says nothing
MANY = 0.01  # share of nearly pure pixels that drawn shapes, JPEG and bright tissue do not reach
HALVINGS = 4  # to blocks of 16 pixels
BLOCK = 2**HALVINGS
# Least pixels of a block, and of neighbouring blocks together, with which a mark may be there.
LEAST_PURE = {False: (2, 12), True: (8, 40)}  # by whether tissue is as white or black
LEAST_PALE, LEAST_EVEN = (12, 24), (4, 12)
SAMPLE, SAMPLED = 32, 256  # rows, of so many, on which the texture is measured
MOSTLY = 0.5  # of the image: all of it is one part then


@dataclass(frozen=True)
class Levels:
    """The grey levels of a TEM image, without data strips, by which its marks are told from its tissue.

    Parameters
    ----------
    image
        uint8 [h, w].
    """

    image: np.ndarray

    @cached_property
    def saturated(self) -> tuple[bool, bool]:
        """Whether tissue reaches white, and black: levels a little inside are then more frequent."""
        counts = cv2.calcHist([self.image], [0], None, [256], [0, 256]).ravel()
        white, black = (_is_saturated(each, self.image.size) for each in (counts, counts[::-1]))
        return white, black

    @cached_property
    def spread(self) -> float:
        """Median range of the levels among neighbours."""
        return percentile(spread_of(self._sample), 50)

    @cached_property
    def even(self) -> float:
        """Range of the levels among neighbours up to which a place is even."""
        return min(MOST_SPREAD, EVEN * self.spread)

    @cached_property
    def noisy(self) -> bool:
        """Whether most of the texture is noise from pixel to pixel."""
        return percentile(spread_of(cv2.medianBlur(self._sample, 3)), 50) < NOISY * self.spread

    @cached_property
    def smooth(self) -> bool:
        """Whether so much of the image is even that evenness says nothing."""
        return cv2.countNonZero(find_even(self._sample, self.even)) > MOST_EVEN * self._sample.size

    @cached_property
    def _sample(self) -> np.ndarray:
        """Some bands of rows, one on the other."""
        if len(self.image) <= 2 * SAMPLED:
            return self.image
        starts = range(0, len(self.image) - SAMPLE, SAMPLED)
        return np.concatenate([self.image[start : start + SAMPLE] for start in starts])


def _is_saturated(counts: np.ndarray, pixels: int) -> bool:
    pure, close = counts[PURE:].sum(), counts[slice(*CLOSE)].sum()
    # Where the contrast is clipped, more pixels are pure than nearly so.
    return bool(pure > FEW * pixels and (close > pure or close > MANY * pixels))


def find_even(image: np.ndarray, limit: float) -> np.ndarray:
    """Find pixels whose neighbours have the same level; JPEG makes even white and black a little uneven.

    Parameters
    ----------
    image
        uint8 [h, w].
    limit
        Largest range of the levels among neighbours; at the ends of the scale it may be larger.

    Returns
    -------
    numpy.ndarray
        uint8 [h, w], 255 where even, else 0.
    """
    low, high = extremes(image)
    found = cv2.threshold(cv2.subtract(high, low), limit, 255, cv2.THRESH_BINARY_INV)[1]
    for end, kind in ((low, cv2.THRESH_BINARY), (high, cv2.THRESH_BINARY_INV)):
        level = 254 - PALE_END if end is low else PALE_END
        cv2.bitwise_or(found, cv2.threshold(end, level, 255, kind)[1], dst=found)
    return found


def find_parts(levels: Levels) -> list[tuple[slice, slice]]:
    """Choose the parts of an image that can have marks.

    Parameters
    ----------
    levels
        Of the image.

    Returns
    -------
    list
        Rows and columns of each part; no two overlap.
    """
    image = levels.image
    height, width = image.shape
    pure_white = cv2.threshold(image, PURE - 1, 255, cv2.THRESH_BINARY)[1]
    pure_black = cv2.threshold(image, 255 - PURE, 255, cv2.THRESH_BINARY_INV)[1]
    counted = [
        # A letter has few white pixels, a grey bar or box many pale ones.
        (_count(pure_white), LEAST_PURE[levels.saturated[0]]),
        (_count(pure_black), LEAST_PURE[levels.saturated[1]]),
        (_count(cv2.threshold(image, 254 - PALE_END, 255, cv2.THRESH_BINARY)[1]), LEAST_PALE),
        (_count(cv2.threshold(image, PALE_END, 255, cv2.THRESH_BINARY_INV)[1]), LEAST_PALE),
    ]
    if not levels.smooth:
        counted.append((_count(find_even(image, levels.even)), LEAST_EVEN))
    dense = [number >= least for number, (least, _) in counted]
    grown = cv2.dilate(np.logical_or.reduce(dense).view(np.uint8), np.ones((3, 3), np.uint8))
    groups, labels = cv2.connectedComponents(grown, connectivity=8)
    enough = np.zeros(groups, bool)
    for number, (_, least) in counted:
        enough |= np.bincount(labels.ravel(), weights=number.ravel(), minlength=groups) >= least
    enough[0] = False
    grown = enough[labels].view(np.uint8)
    boxes = _boxes(grown)
    while (covered := int(cv2.countNonZero(grown))) != int(sum(w * h for _, _, w, h in boxes)):
        for x, y, w, h in boxes:
            grown[y : y + h, x : x + w] = 1
        boxes = _boxes(grown)
    if covered > MOSTLY * grown.size:
        return [np.s_[:height, :width]]
    return [
        np.s_[BLOCK * y : min(height, BLOCK * (y + h)), BLOCK * x : min(width, BLOCK * (x + w))] for x, y, w, h in boxes
    ]


def _boxes(grown: np.ndarray) -> list[tuple[int, int, int, int]]:
    """X, y, width and height of the connected areas."""
    return [tuple(box[:4]) for box in cv2.connectedComponentsWithStats(grown, connectivity=8)[2][1:].tolist()]


def _count(marked: np.ndarray) -> np.ndarray:
    """Count the pixels that are 255, not 0, in each block, by repeated averages of four: uint8 [rows, columns]."""
    bottom, right = (-side % BLOCK for side in marked.shape)
    if bottom or right:
        marked = cv2.copyMakeBorder(marked, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=0)
    for _ in range(HALVINGS):
        marked = cv2.resize(marked, (marked.shape[1] // 2, marked.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return marked
