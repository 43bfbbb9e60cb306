"""Find text, arrows, circles and lines of any grey level by an even core with a sharp edge; JPEG leaves both.

Noise makes tissue uneven, and where tissue is even, its levels change slowly. A drawn stroke of three pixels or more
has pixels of about one level, and a step to other levels at once, on both sides.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

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
from nephroscale.tem.survey import EVEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nephroscale.tem.screen import Levels

NEAR = 7  # levels by which pixels of a mark may differ from its median
LINKED = 5  # levels by which squares of one core that touch may differ
LEAST_SQUARES, MOST = 8, 0.12  # squares of a core; share of the pixels that begin one; with more, evenness says nothing
LEAST, LEAST_LARGE, LEAST_BESIDE = 36, 56, 12  # pixels of an even core, of any, and of one near a certain mark
EVENER, DEVIATION = 2.2, 3.0  # mean difference from the median in an even core and in any, in levels
UNEVEN = 3.6  # mean difference of the squares of a core from their median above which the core is more than this uneven
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
PAIR = np.ones((2, 2), np.uint8)


def find_sharp_shapes(levels: Levels) -> Iterator[tuple[Window, np.ndarray]]:
    """Find thin shapes and arrowheads of about one grey level with a sharp edge.

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
    if min(image.shape) < 2 * FAR:
        return
    places = levels.not_saturated(levels.survey.even)
    if not len(places) or len(places) > MOST * image.size:
        return
    for box, place, level in _candidates(image, places):
        if not found[place] and (mark := _at(image, box, place, level)) is not None:
            window, shapes = mark
            found[window] |= shapes
            yield window, shapes


def _candidates(image: np.ndarray, places: np.ndarray) -> Iterator[tuple[Window, tuple[int, int], int]]:
    """Yield the window of each group of squares, the place of one of them with about its median level, this level."""
    groups = _group(places, image.ravel()[places].astype(np.int16), image.shape[1])
    numbers = np.bincount(groups)
    own = np.flatnonzero(numbers[groups] >= LEAST_SQUARES)
    own = own[np.argsort(groups[own], kind="stable")]
    if not len(own):
        return
    groups, places = groups[own], places[own]
    first = np.flatnonzero(np.diff(groups, prepend=-1))
    last = np.append(first[1:], len(own))
    level = image.ravel()[places].astype(np.int64)
    ordered = np.sort(groups * np.int64(256) + level) % 256  # by group, then by level
    middles = np.rint((ordered[(first + last) // 2] + ordered[(first + last - 1) // 2]) / 2).astype(np.int64)
    away = np.abs(level - np.repeat(middles, last - first))
    nearest = np.minimum.reduceat(away * len(own) + np.arange(len(own)), first) % len(own)
    rows, columns = np.divmod(places, image.shape[1])
    top, bottom = rows[first], rows[last - 1] + 2
    left, right = np.minimum.reduceat(columns, first), np.maximum.reduceat(columns, first) + 2
    fits = (bottom - top <= HIGHEST * image.shape[0]) & (right - left <= WIDEST * image.shape[1])
    # Of a core that is uneven, most of the squares are.
    fits &= np.add.reduceat(away, first) <= UNEVEN * (last - first)
    of_each = np.stack([top, bottom, left, right, rows[nearest], columns[nearest], middles], axis=1)[fits]
    for y, end, x, stop, row, column, tone in of_each.tolist():
        yield np.s_[y:end, x:stop], (row, column), tone


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


def _at(image: np.ndarray, box: Window, place: tuple[int, int], level: int) -> tuple[Window, np.ndarray] | None:
    """Return a window round a box, and in it the mark of a level with a pixel at a place, and others near it."""
    # Few places are marks, so the surroundings are looked at for these only.
    near, _ = widened(box, FAR + 2, image.shape)
    look = _Look(image[near], level)
    if cv2.countNonZero(look.own) < LEAST:
        return None
    index = look.shape_at(place[0] - near[0].start, place[1] - near[1].start)
    if not index or not look.is_drawn(index, certain=False):
        return None
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
    """Pixels of even squares of 2 x 2 pixels: uint8 [h, w], 255 or 0."""
    low, high = cv2.erode(image, PAIR, anchor=(0, 0)), cv2.dilate(image, PAIR, anchor=(0, 0))
    even = cv2.threshold(cv2.subtract(high, low, dst=low), EVEN, 255, cv2.THRESH_BINARY_INV)[1]
    even[-1], even[:, -1] = 0, 0
    return cv2.dilate(even, PAIR, anchor=(1, 1))


class _Look:
    """The even shapes of a level in a window."""

    def __init__(self, image: np.ndarray, level: int) -> None:
        self.image = image
        own = cv2.inRange(image, level - NEAR, level + NEAR)
        self.own = cv2.bitwise_and(own, _in_even_square(image), dst=own)

    @cached_property
    def labels(self) -> np.ndarray:
        """Number of the shape at each pixel, 0 if none is there: int32 [h, w]."""
        return self._shapes[0]

    @cached_property
    def stats(self) -> np.ndarray:
        """Of each shape x, y, width, height and area: int32 [shapes, 5]."""
        return self._shapes[1]

    @cached_property
    def _shapes(self) -> tuple[np.ndarray, np.ndarray]:
        return label_window(self.own.view(bool))

    @cached_property
    def spread(self) -> np.ndarray:
        """Range of the levels among neighbours."""
        return spread_of(self.image)

    def shape_at(self, row: int, column: int) -> int:
        """Number of the shape at a square, 0 if none is there."""
        return int(self.labels[row : row + 2, column : column + 2].max())

    def is_drawn(self, index: int, *, certain: bool) -> bool:
        """Whether a shape has a step all around it and a sharp edge, and is thin; less is asked near a certain mark."""
        x, y, w, h, area = self.stats[index].tolist()
        if not certain and area < LEAST:
            return False
        tight = np.s_[y : y + h, x : x + w]
        levels = self.image[tight][self.labels[tight] == index]
        level = int(median(levels))
        deviation = int(cv2.absdiff(levels, np.full_like(levels, level)).sum()) / area
        if deviation > max(EVENER, DEVIATION):
            return False
        at = np.s_[max(0, y - FAR) : y + h + FAR, max(0, x - FAR) : x + w + FAR]
        core, look = self.labels[at] == index, self.image[at]
        away = cv2.absdiff(look, np.full_like(look, level))
        other = away > STEP
        least, around, sharp = (LEAST_BESIDE, AROUND_BESIDE, SHARP_BESIDE) if certain else (LEAST, ALL_AROUND, SHARP)
        shape = core | (dilated(core, 2) & (away <= SMOOTHED))
        # Either all of a small core is even and the edge beyond is sharp, or the edge of a larger core itself is.
        for mark, reach, uneven, steep in ((shape, 2, EVENER, 1.0), (core, 1, DEVIATION, sharp)):
            if deviation > uneven or area < least:
                continue
            ring = dilated(mark, reach + 2) & ~dilated(mark, reach)
            number = np.count_nonzero(ring)
            far = dilated(shape, FAR) & ~dilated(shape, FAR - 2)
            if not number or not far.any():
                continue
            least = max(least, 0 if certain else LEAST_LARGE)
            if np.count_nonzero(other & ring) < around * number:
                continue
            edge = dilated(mark, 1) & ~mark
            change = _of_most(cv2.dilate(self.spread[at], square(1))[edge] if reach == 2 else self.spread[at][edge])
            limits = max(
                EDGE_BESIDE if certain else EDGE_BEYOND if reach == 2 else EDGE, steep * float(away[far].mean())
            )
            if change >= limits:
                return is_thin(core) or is_arrowhead(core)
        return False


def _of_most(changes: np.ndarray) -> float:
    """Return the change from pixel to pixel that most of an edge has at least."""
    return float(np.sort(changes)[BLUNT * len(changes) // 100])
