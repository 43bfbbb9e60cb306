"""Find text, arrows, circles and lines of any grey level by an even core with a sharp edge; JPEG leaves both.

Noise makes tissue uneven, and where tissue is even, its levels change slowly. A drawn stroke of three pixels or more
has pixels of about one level, and a step to other levels at once, on both sides.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import cv2
import numpy as np

from nephroscale.tem.screen import Levels
from nephroscale.tem.shapes import (
    Window,
    dilated,
    group_places,
    is_arrowhead,
    is_thin,
    label_window,
    median,
    spread_of,
    square,
    widened,
)

NEAR = 7  # levels by which pixels of a mark may differ from its median
LEAST_OPAQUE = 1500  # pixels of a mark that tissue of its level may touch
NEARER, EDGE_OF_IT = 4, 2  # levels by which most of such a mark may differ, and pixels round these
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
FILLED = 2  # other than 0 and 1


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
    is_even = levels.survey.is_even
    for box, place, level in _candidates(image, places):
        if not found[place] and (mark := _at(image, is_even, box, place, level)) is not None:
            window, shapes = mark
            found[window] |= shapes
            yield window, shapes


def _candidates(image: np.ndarray, places: np.ndarray) -> Iterator[tuple[Window, tuple[int, int], int]]:
    """Yield the window of each group of squares, the place of one of them with about its median level, this level."""
    groups = group_places(places, image.ravel()[places].astype(np.int16), image.shape[1], LINKED)
    own = np.flatnonzero(np.bincount(groups)[groups] >= LEAST_SQUARES)
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


def _at(
    image: np.ndarray, is_even: np.ndarray, box: Window, place: tuple[int, int], level: int
) -> tuple[Window, np.ndarray] | None:
    """Return a window round a box, and in it the mark of a level with a pixel at a place, and others near it."""
    # Few places are marks, so the surroundings are looked at for these only.
    near, _ = widened(box, FAR + 2, image.shape)
    look = _Look(image[near], is_even[near], level)
    if np.count_nonzero(look.own) < LEAST:
        return None
    core = look.core_at(place[0] - near[0].start, place[1] - near[1].start)
    if core is None or not look.is_drawn(*core, certain=False):
        return None
    window, _ = widened(box, REACH, image.shape)
    look = _Look(image[window], is_even[window], level)
    labels, stats = label_window(look.own)
    row, column = place[0] - window[0].start, place[1] - window[1].start
    index = int(labels[row : row + 2, column : column + 2].max())
    others = []
    for other in np.flatnonzero(stats[:, 4] >= LEAST_BESIDE).tolist():
        x, y, w, h = stats[other, :4].tolist()
        if other not in {0, index} and look.is_drawn((y, x), labels[y : y + h, x : x + w] == other, certain=True):
            others.append(other)
    shapes: np.ndarray = np.isin(labels, [index, *others])
    rest = np.count_nonzero((labels > 0) & ~shapes) / shapes.size
    own = labels == index
    return window, (shapes if rest <= MOST_BESIDE else own) & ~_tissue_of_its_level(look.image, own)


def _tissue_of_its_level(image: np.ndarray, mark: np.ndarray) -> np.ndarray:
    """Pixels of a large mark, such as an opaque label, that are uneven tissue of its level beside it: bool [h, w]."""
    if np.count_nonzero(mark) < LEAST_OPAQUE:
        return np.zeros(mark.shape, bool)
    away = cv2.absdiff(image, np.full_like(image, int(median(image[mark]))))
    labels, stats = label_window(mark & (away <= NEARER))
    return np.asarray(mark & ~dilated(labels == 1 + int(np.argmax(stats[1:, 4])), EDGE_OF_IT))


class _Look:
    """The even shapes of a level in a window."""

    def __init__(self, image: np.ndarray, is_even: np.ndarray, level: int) -> None:
        self.image = image
        least, most = max(0, level - NEAR), min(255, level + NEAR)
        self.own = (image - np.uint8(least) <= np.uint8(most - least)) & _in_squares(is_even)  # 0 - 1 is 255

    @cached_property
    def spread(self) -> np.ndarray:
        """Range of the levels among neighbours."""
        return spread_of(self.image)

    def core_at(self, row: int, column: int) -> tuple[tuple[int, int], np.ndarray] | None:
        """Row, column and mask of the shape at a square of 2 x 2 pixels, None where none is there."""
        here = self.own[row : row + 2, column : column + 2]
        down, right = divmod(int(here.argmax()), here.shape[1])
        if not here[down, right]:
            return None
        filled = self.own.astype(np.uint8)
        x, y, w, h = cv2.floodFill(filled, None, (column + right, row + down), FILLED, flags=8)[3]
        return (y, x), filled[y : y + h, x : x + w] == FILLED

    def is_drawn(self, corner: tuple[int, int], core: np.ndarray, *, certain: bool) -> bool:
        """Whether a shape has a step all around it and a sharp edge, and is thin; less is asked near a certain mark."""
        (y, x), (h, w) = corner, core.shape
        levels = self.image[y : y + h, x : x + w][core]
        area = len(levels)
        if not certain and area < LEAST:
            return False
        level = int(median(levels))
        deviation = int(cv2.absdiff(levels, np.full_like(levels, level)).sum()) / area
        if deviation > max(EVENER, DEVIATION):
            return False
        at, inner = widened(np.s_[y : y + h, x : x + w], FAR, self.image.shape)
        look, tight = self.image[at], core
        core = np.zeros(look.shape, bool)
        core[inner] = tight
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


def _in_squares(begins: np.ndarray) -> np.ndarray:
    """Pixels of squares of 2 x 2 pixels that lie in a window, by where these begin: uint8 [h, w], 1 or 0, to bool."""
    begins = begins[:-1, :-1].view(bool)
    covered = np.zeros((begins.shape[0] + 1, begins.shape[1] + 1), bool)
    covered[:-1, :-1] = begins
    covered[:-1, 1:] |= begins
    covered[1:] |= covered[:-1].copy()
    return covered


def _of_most(changes: np.ndarray) -> float:
    """Return the change from pixel to pixel that most of an edge has at least."""
    return float(np.sort(changes)[BLUNT * len(changes) // 100])
