"""Find text, arrows, circles and lines of any grey level by an even core with a sharp edge; JPEG leaves both.

Noise makes tissue uneven, and where tissue is even, its levels change slowly. A drawn stroke of three pixels or more
has pixels of about one level, and a step to other levels at once, on both sides.
"""

from __future__ import annotations

from functools import cached_property

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nephroscale.tem.screen import PALE_END, Levels
from nephroscale.tem.shapes import (
    Window,
    dilated,
    is_arrowhead,
    is_thin,
    label_window,
    median,
    spread_of,
    square,
    widened,
)

EVEN = 8  # range of the levels in a square of 2 x 2 pixels of a core
NEAR = 7  # levels by which pixels of a mark may differ from its median
LINKED = 5  # levels by which squares of one core that touch may differ
STEEP, WITHIN = 40, 2  # range of levels among neighbours at an edge, and pixels from a core to it
LEAST_SQUARES, MOST = 8, 0.12  # squares of a core; share of the pixels that begin one; with more, evenness says nothing
DENSE, DENSE_IN = 6, 5  # squares among those that begin in so many rows and columns
LEAST, LEAST_LARGE, LEAST_BESIDE = 36, 56, 12  # pixels of an even core, of any, and of one near a certain mark
EVENER, DEVIATION = 2.2, 3.0  # mean difference from the median in an even core and in any, in levels
STEP, ALL_AROUND, AROUND_BESIDE = 25, 0.75, 0.7  # levels between a mark and its surroundings, and the share of these
EDGE_BEYOND, EDGE = 60, 45  # change from pixel to pixel along most of an edge, beyond an even core and at any
EDGE_BESIDE = 30  # the same near a certain mark
SHARP, SHARP_BESIDE = 0.75, 0.5  # the same at any core as a share of the whole step; near a certain mark
BLUNT = 25  # percent of an edge that may be less sharp
SMOOTHED = 16  # levels by which the smoothed edge of a mark differs
REACH = 48  # pixels round a mark within which others of its level are looked for
MOST_BESIDE = 0.08  # share of the pixels there that may have its level
WIDEST, HIGHEST = 0.95, 0.5  # of the image
FAR = 7  # pixels round a shape that are looked at


def find_sharp_shapes(levels: Levels) -> np.ndarray:
    """Find thin shapes and arrowheads of about one grey level with a sharp edge.

    Parameters
    ----------
    levels
        Of an image without data strips.

    Returns
    -------
    numpy.ndarray
        bool [h, w].
    """
    image = levels.image
    found = np.zeros(image.shape, bool)
    if min(image.shape) < 2 * FAR:
        return found
    places = _find_squares(image, levels.saturated)
    if not len(places) or len(places) > MOST * image.size:
        return found
    groups = _group(places, image.ravel()[places].astype(np.int16), image.shape[1])
    numbers = np.bincount(groups)
    ordered = np.argsort(groups, kind="stable")
    ends = np.cumsum(numbers)
    for group in np.flatnonzero(numbers >= LEAST_SQUARES).tolist():
        own = places[ordered[ends[group] - numbers[group] : ends[group]]]
        rows, columns = np.divmod(own, image.shape[1])
        box = np.s_[int(rows[0]) : int(rows[-1]) + 2, int(columns.min()) : int(columns.max()) + 2]
        if (
            box[0].stop - box[0].start > HIGHEST * image.shape[0]
            or box[1].stop - box[1].start > WIDEST * image.shape[1]
        ):
            continue
        level = round(median(image.ravel()[own]))
        middle = int(own[int(np.argmin(np.abs(image.ravel()[own].astype(int) - level)))])
        if not found.ravel()[middle]:
            window, shapes = _at(image, box, divmod(middle, image.shape[1]), level)
            found[window] |= shapes
    return found


def _find_squares(image: np.ndarray, saturated: tuple[bool, bool]) -> np.ndarray:
    """Places in the flattened image, ascending, of even squares of 2 x 2 pixels near a steep edge."""
    pair = np.ones((2, 2), np.uint8)
    low, high = cv2.erode(image, pair, anchor=(0, 0)), cv2.dilate(image, pair, anchor=(0, 0))
    even = cv2.threshold(cv2.subtract(high, low), EVEN, 1, cv2.THRESH_BINARY_INV)[1]
    even[-1], even[:, -1] = 0, 0
    # The range among all neighbours of a pixel is that of the four squares that hold it.
    high, low = cv2.dilate(high, pair, anchor=(1, 1)), cv2.erode(low, pair, anchor=(1, 1))
    steep = cv2.threshold(cv2.subtract(high, low), STEEP - 1, 1, cv2.THRESH_BINARY)[1]
    cv2.bitwise_and(even, dilated(steep.view(bool), WITHIN).view(np.uint8), dst=even)
    # Squares of noise lie far from each other.
    number = cv2.boxFilter(even, -1, (DENSE_IN, DENSE_IN), normalize=False, borderType=cv2.BORDER_CONSTANT)
    cv2.bitwise_and(even, cv2.threshold(number, DENSE - 1, 1, cv2.THRESH_BINARY)[1], dst=even)
    places = np.flatnonzero(even.view(bool))
    level = image.ravel()[places]
    white, black = saturated
    kept: np.ndarray = places[(level > (PALE_END if black else -1)) & (level < (255 - PALE_END if white else 256))]
    return kept


def _group(places: np.ndarray, level: np.ndarray, width: int) -> np.ndarray:
    """Number the groups of touching squares of about one level: of each square, that of its group."""
    pairs = []
    for step in (1, width - 1, width, width + 1):
        at = np.minimum(np.searchsorted(places, places + step), len(places) - 1)
        one = np.flatnonzero((places[at] == places + step) & (np.abs(level[at] - level) <= LINKED))
        pairs.append(np.stack([one, at[one]]))
    one, other = np.concatenate(pairs, axis=1)
    links = coo_array((np.ones(len(one), np.uint8), (one, other)), (len(places), len(places)))
    groups: np.ndarray = connected_components(links, directed=False)[1]
    return groups


def _at(image: np.ndarray, box: Window, place: tuple[int, int], level: int) -> tuple[Window, np.ndarray]:
    """Return a window round a box, and in it the mark of a level with a pixel at a place, and others near it."""
    # Few places are marks, so the surroundings are looked at for these only.
    near, _ = widened(box, FAR + 2, image.shape)
    look = _Look(image[near], level)
    index = look.shape_at(place[0] - near[0].start, place[1] - near[1].start)
    if not index or not look.is_drawn(index, certain=False):
        return near, np.zeros(look.labels.shape, bool)
    window, _ = widened(box, REACH, image.shape)
    look = _Look(image[window], level)
    index = look.shape_at(place[0] - window[0].start, place[1] - window[1].start)
    others = [
        other
        for other in np.flatnonzero(look.stats[:, 4] >= LEAST_BESIDE).tolist()
        if other not in {0, index} and look.is_drawn(other, certain=True)
    ]
    shapes: np.ndarray = np.isin(look.labels, [index, *others])
    rest = np.count_nonzero((look.labels > 0) & ~shapes) / shapes.size
    return window, shapes if rest <= MOST_BESIDE else look.labels == index


def _in_even_square(image: np.ndarray) -> np.ndarray:
    pair = np.ones((2, 2), np.uint8)
    low, high = cv2.erode(image, pair, anchor=(0, 0)), cv2.dilate(image, pair, anchor=(0, 0))
    even = cv2.threshold(cv2.subtract(high, low), EVEN, 1, cv2.THRESH_BINARY_INV)[1]
    even[-1], even[:, -1] = 0, 0
    covered: np.ndarray = cv2.dilate(even, pair, anchor=(1, 1)).view(bool)
    return covered


class _Look:
    """The even shapes of a level in a window."""

    def __init__(self, image: np.ndarray, level: int) -> None:
        self.image = image
        away = cv2.absdiff(image, np.full_like(image, level))
        self.labels, self.stats = label_window((away <= NEAR) & _in_even_square(image))

    @cached_property
    def spread(self) -> np.ndarray:
        """Range of the levels among neighbours."""
        return spread_of(self.image)

    def shape_at(self, row: int, column: int) -> int:
        """Number of the shape at a square, 0 if none is there."""
        return int(self.labels[row : row + 2, column : column + 2].max())

    def is_drawn(self, index: int, *, certain: bool) -> bool:
        """Whether a shape has a step all around it and a sharp edge, and is thin; less is asked near a certain mark."""
        if not certain and self.stats[index, 4] < LEAST:
            return False
        x, y, w, h = self.stats[index, :4].tolist()
        at = np.s_[max(0, y - FAR) : y + h + FAR, max(0, x - FAR) : x + w + FAR]
        core, look = self.labels[at] == index, self.image[at]
        away = cv2.absdiff(look, np.full_like(look, int(median(look[core]))))
        deviation = float(away[core].mean())
        if deviation > max(EVENER, DEVIATION):
            return False
        other = away > STEP
        shape = core | (dilated(core, 2) & (away <= SMOOTHED))
        least, around, sharp = (LEAST_BESIDE, AROUND_BESIDE, SHARP_BESIDE) if certain else (LEAST, ALL_AROUND, SHARP)
        # Either all of a small core is even and the edge beyond is sharp, or the edge of a larger core itself is.
        for mark, reach, uneven, steep in ((shape, 2, EVENER, 1.0), (core, 1, DEVIATION, sharp)):
            ring = dilated(mark, reach + 2) & ~dilated(mark, reach)
            far = dilated(shape, FAR) & ~dilated(shape, FAR - 2)
            if not ring.any() or not far.any() or deviation > uneven or self.stats[index, 4] < least:
                continue
            edge = dilated(mark, 1) & ~mark
            change = _of_most(cv2.dilate(self.spread[at], square(1))[edge] if reach == 2 else self.spread[at][edge])
            least = max(least, 0 if certain else LEAST_LARGE)
            limits = max(
                EDGE_BESIDE if certain else EDGE_BEYOND if reach == 2 else EDGE, steep * float(away[far].mean())
            )
            if change >= limits and np.count_nonzero(other & ring) >= around * np.count_nonzero(ring):
                return is_thin(core) or is_arrowhead(core)
        return False


def _of_most(changes: np.ndarray) -> float:
    """Return the change from pixel to pixel that most of an edge has at least."""
    return float(np.sort(changes)[BLUNT * len(changes) // 100])
