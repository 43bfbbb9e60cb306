"""Where marks can be in a TEM image: the few parts of it with white, black or even pixels close together.

Finding marks costs many passes over the pixels; choosing these parts costs few.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from nephroscale.tem.shapes import (
    SMALL,
    Window,
    extremes,
    find_islands,
    islands_of,
    percentile,
    spread_of,
    widened,
)
from nephroscale.tem.survey import BLOCK, PALE_END, PURE, Survey, even_among, survey_image

WHITE_KIND, BLACK_KIND, PALE_KIND, DARK_KIND, EVEN_KIND = range(5)  # places in `Blocks`

CLOSE = (PURE - 24, PURE - 4)  # levels that tissue which reaches pure ones has more often, and drawn shapes have rarely
FEW = 0.002  # share of pure pixels that cost little tissue even if they are tissue
EVEN = 0.2  # spread of the levels among neighbours in a drawn shape, as a share of the median spread
MOST_SPREAD = 6.0  # and in levels at most
MOST_EVEN = 0.2  # of an image
NOISY = 0.65  # spread after a median filter, as a share: in less noisy images evenness alone says nothing
MANY = 0.01  # share of nearly pure pixels that drawn shapes, JPEG and bright tissue do not reach
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
    def counts(self) -> np.ndarray:
        """Number of pixels of each level, int64 [256]."""
        return np.asarray(cv2.calcHist([self.image], [0], None, [256], [0, 256]).ravel().astype(np.int64))

    @cached_property
    def saturated(self) -> tuple[bool, bool]:
        """Whether tissue reaches white, and black: levels a little inside are then more frequent."""
        white, black = (_is_saturated(each, self.image.size) for each in (self.counts, self.counts[::-1]))
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
    def survey(self) -> Survey:
        """Where the image has white, black, pale, dark and even pixels, and squares of equal and of even ones."""
        return survey_image(self.image, None if self.smooth else self.even)

    def not_saturated(self, places: np.ndarray) -> np.ndarray:
        """Keep the places in the flattened image whose levels saturated tissue does not have."""
        level = self.image.ravel()[places]
        white, black = self.saturated
        return np.asarray(places[(level > (PALE_END if black else -1)) & (level < (255 - PALE_END if white else 256))])

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
    """Find pixels whose neighbours have the same level.

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
    return even_among(cv2.subtract(high, low), low, high, limit)


def find_groups(image: np.ndarray, levels: Levels, kind: int, least: int) -> Iterator[tuple[Window, np.ndarray]]:
    """Yield groups of pixels of a kind in a part of an image, as :func:`find_islands` does.

    Parameters
    ----------
    image
        uint8 [h, w], a part of the image or all of it.
    levels
        Of the whole image.
    kind
        WHITE_KIND, BLACK_KIND, PALE_KIND, DARK_KIND or EVEN_KIND.
    least
        Pixels of a group.
    """

    def draw(window: Window) -> np.ndarray:
        if kind == EVEN_KIND:
            wide, inner = widened(window, 1, image.shape)
            return np.asarray(find_even(image[wide], levels.even)[inner] > 0)
        look = image[window]
        level = (PURE, 255 - PURE, 255 - PALE_END, PALE_END)[kind]
        return np.asarray(look >= level if kind in {WHITE_KIND, PALE_KIND} else look <= level)

    if image.shape == levels.image.shape and image.size > SMALL:
        return islands_of(levels.survey.blocks.shares[kind], image.shape, draw, least)
    return find_islands(draw(np.s_[0 : image.shape[0], 0 : image.shape[1]]), least)


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
    height, width = levels.image.shape
    numbers = levels.survey.blocks.numbers
    # A letter has few white pixels, a grey bar or box many pale ones.
    least_of = (LEAST_PURE[levels.saturated[0]], LEAST_PURE[levels.saturated[1]], LEAST_PALE, LEAST_PALE, LEAST_EVEN)
    counted = list(zip(numbers, least_of[: len(numbers)], strict=True))
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
        return [np.s_[0:height, 0:width]]
    return [
        np.s_[BLOCK * y : min(height, BLOCK * (y + h)), BLOCK * x : min(width, BLOCK * (x + w))] for x, y, w, h in boxes
    ]


def _boxes(grown: np.ndarray) -> list[tuple[int, int, int, int]]:
    """X, y, width and height of the connected areas."""
    return [tuple(box[:4]) for box in cv2.connectedComponentsWithStats(grown, connectivity=8)[2][1:].tolist()]
