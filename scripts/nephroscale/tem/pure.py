"""Find what was drawn in white or black on a TEM image, by shape: arrows, letters, asterisks, outlines, what they hold.

Tissue reaches the ends of the range too, but there it fades over several pixels, or fills round areas.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from nephroscale.tem.screen import BLACK_KIND, DARK_KIND, PALE_KIND, WHITE_KIND, Levels, find_groups
from nephroscale.tem.shapes import (
    Window,
    dilated,
    find_shapes,
    is_arrowhead,
    is_thin,
    label_window,
    median,
    spread_of,
    widened,
)
from nephroscale.tem.survey import PURE

# Levels of what was drawn in white, and of its smoothed edges; 255 minus these in black. Hardly any pixel of small
# letters and thin lines is white, so a second pair is tried where the tissue is not as white.
LIMITS = ((PURE, 200), (232, 190))
LEAST = 8  # pure pixels of a shape
SOLID = 0.35  # share of a drawn shape that is pure
LEAST_SATURATED, SOLID_SATURATED, SHARP_SATURATED = 40, 0.6, 0.75  # limits where the tissue itself is saturated
STEP = 30  # levels between a shape and what surrounds it
AROUND, AROUND_NEXT = 0.85, 0.6  # share of the surroundings that have this step; for a shape next to a certain one
SHARP, SHARP_NEXT = 0.55, 0.5  # change from pixel to pixel along most of an edge, as a share of the whole step
BLUNT = 25  # percent of an edge that may be less sharp
NARROW, WIDE = 9, 40  # pixels; width of an outlined area of any texture, and of an even one
EVEN = 0.5  # spread in an outlined area that was drawn, as a share of the image's
EDGE = 2  # pixels of a smoothed edge
REACH = 7  # pixels round a shape that are looked at


@dataclass(frozen=True)
class _Shape:
    """A white or black shape: row and column of its window, its mask there, and how it stands out."""

    y: int
    x: int
    mask: np.ndarray
    around: float
    sharpness: float

    @property
    def window(self) -> tuple[slice, slice]:
        height, width = self.mask.shape
        return np.s_[self.y : self.y + height, self.x : self.x + width]


def find_pure_shapes(image: np.ndarray, levels: Levels | None = None) -> np.ndarray:
    """Find thin white and black shapes with a sharp edge, and the letters and arrows that such a shape outlines.

    Parameters
    ----------
    image
        uint8 [h, w] without data strips.
    levels
        Of the whole image, if this is a part of it.

    Returns
    -------
    numpy.ndarray
        bool [h, w].
    """
    levels = levels or Levels(image)
    found = np.zeros(image.shape, bool)
    lowest, highest, _, _ = cv2.minMaxLoc(image)
    for kind, saturated in zip((WHITE_KIND, BLACK_KIND), levels.saturated, strict=True):
        if (255 - lowest if kind == BLACK_KIND else highest) < LIMITS[not saturated][0]:
            continue
        shapes = [
            shape
            for limits in (LIMITS[:1] if saturated else LIMITS)
            for shape in _thin_shapes(image, levels, kind, limits)
        ]
        if not shapes:
            continue
        near = np.zeros(image.shape, bool)
        sharp = SHARP_SATURATED if saturated else SHARP
        for shape in shapes:
            if shape.sharpness >= sharp and shape.around >= AROUND:
                found[shape.window] |= shape.mask
                h, w = shape.mask.shape
                near[max(0, shape.y - h // 4) : shape.y + h + h // 4, max(0, shape.x - h) : shape.x + w + h] = True
        for shape in shapes:
            if shape.sharpness >= SHARP_NEXT and shape.around >= AROUND_NEXT and near[shape.window][shape.mask].all():
                found[shape.window] |= shape.mask
    for place, hole in _outlined(image, found, EVEN * levels.spread):
        found[place] |= hole
    return found


def _thin_shapes(image: np.ndarray, levels: Levels, kind: int, limits: tuple[int, int]) -> list[_Shape]:
    """Thin shapes of white or black pixels and their smoothed edges, in a part of an image."""
    height, width = levels.image.shape
    least, solid = (LEAST_SATURATED, SOLID_SATURATED) if levels.saturated[kind] else (LEAST, SOLID)
    shapes = []
    pure, pale = limits
    wider = kind if pure == PURE else (PALE_KIND, DARK_KIND)[kind]  # pale pixels are a little less white than these
    for window, group in find_groups(image, levels, wider, least):
        around, place = widened(window, REACH + EDGE, image.shape)
        near = cv2.bitwise_not(image[around]) if kind == BLACK_KIND else image[around]
        own = group & (near[place] >= pure)
        if np.count_nonzero(own) < least:
            continue
        loose = dilated(near >= pure, EDGE) & (near >= pale)
        labels, stats = label_window(loose)
        amounts = np.bincount(labels[place][own], minlength=len(stats))
        fits = (amounts >= least) & (stats[:, 2] <= 0.95 * width) & (stats[:, 3] <= 0.5 * height)
        fits &= amounts >= solid * stats[:, 4]
        for index in (np.flatnonzero(fits[1:]) + 1).tolist():
            x, y, w, h = stats[index, :4].tolist()
            y0, x0 = max(0, y - REACH), max(0, x - REACH)
            at = np.s_[y0 : y + h + REACH, x0 : x + w + REACH]
            mask = labels[at] == index
            if (is_thin(mask) or is_arrowhead(mask)) and (look := _surroundings(near[at], mask, loose[at])):
                shapes.append(_Shape(around[0].start + y0, around[1].start + x0, mask, *look))
    return shapes


def _surroundings(tone: np.ndarray, mask: np.ndarray, loose: np.ndarray) -> tuple[float, float] | None:
    """Share of the surroundings of a shape with a step, and sharpness of its edge; None without surroundings."""
    grown = dilated(mask, 1)
    near, far = dilated(mask, 3) & ~grown & ~loose, dilated(mask, REACH) & ~dilated(mask, 4) & ~loose
    if not near.any() or not far.any():
        return None
    around = np.count_nonzero(near & (tone < 255 - STEP)) / np.count_nonzero(near)
    edge = np.sort(spread_of(tone)[grown & ~mask])
    place = BLUNT * (len(edge) - 1)  # in hundredths
    lower, upper = int(edge[place // 100]), int(edge[-(-place // 100)])
    change = lower + (upper - lower) * (place % 100 / 100)
    return around, change / max(1.0, 255 - median(tone[far]))


def _outlined(image: np.ndarray, outlines: np.ndarray, most: float) -> list[tuple[Window, np.ndarray]]:
    """Areas that found shapes enclose, if they are narrow, or of a spread of at most `most` and not wide.

    These are letters and arrows with a halo.
    """
    inner = []
    for y, x, shape in find_shapes(outlines):
        h, w = shape.shape
        free: np.ndarray = (~outlines[y : y + h, x : x + w]).view(np.uint8)
        free = cv2.copyMakeBorder(free, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
        _, parts, stats, _ = cv2.connectedComponentsWithStats(free, connectivity=4)
        outside = parts[0, 0]
        for part, (left, top, across, down, _) in enumerate(stats.tolist()):
            if part in {0, outside}:
                continue
            hole = parts[top : top + down, left : left + across] == part
            place = np.s_[y + top - 1 : y + top - 1 + down, x + left - 1 : x + left - 1 + across]
            if min(across, down) < NARROW or _is_narrow_or_even(image, place, hole, most):
                inner.append((place, hole))
    return inner


def _is_narrow_or_even(image: np.ndarray, place: tuple[slice, slice], hole: np.ndarray, most: float) -> bool:
    padded = np.pad(hole, 1)
    width = 2 * float(cv2.distanceTransform(padded.view(np.uint8), cv2.DIST_L2, 3).max())
    if width <= NARROW or width > WIDE:
        return width <= NARROW
    core = hole & ~dilated(~padded, 2)[1:-1, 1:-1]
    return bool(core.any()) and float(np.median(spread_of(image[place])[core])) <= most
