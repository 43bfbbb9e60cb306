"""Find what was drawn in white or black on a TEM image, by shape: arrows, letters, asterisks, outlines, what they hold.

Tissue reaches the ends of the range too, but there it fades over several pixels, or fills round areas.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from nephroscale.tem.screen import PURE, Levels
from nephroscale.tem.shapes import dilated, is_arrowhead, is_thin, label_shapes, spread_of

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
    for tone, saturated in zip((image, cv2.bitwise_not(image)), levels.saturated, strict=True):
        shapes = [
            shape
            for limits in (LIMITS[:1] if saturated else LIMITS)
            for shape in _thin_shapes(tone, limits, levels.image.shape, saturated=saturated)
        ]
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
    return found | _outlined(image, found, EVEN * levels.spread) if found.any() else found


def _thin_shapes(tone: np.ndarray, limits: tuple[int, int], whole: tuple[int, ...], *, saturated: bool) -> list[_Shape]:
    """Thin shapes of pure pixels and their smoothed edges, in a part of an image where the drawn ones are white."""
    pure = tone >= limits[0]
    if cv2.countNonZero(pure.view(np.uint8)) < LEAST:
        return []
    loose = dilated(pure, 2) & (tone >= limits[1])
    labels, stats = label_shapes(loose)
    amounts = np.bincount(labels[pure], minlength=len(stats))
    height, width = whole
    least, solid = (LEAST_SATURATED, SOLID_SATURATED) if saturated else (LEAST, SOLID)
    fits = (amounts >= least) & (stats[:, 2] <= 0.95 * width) & (stats[:, 3] <= 0.5 * height)
    shapes = []
    for index in np.flatnonzero(fits[1:]) + 1:
        x, y, w, h = (int(value) for value in stats[index, :4])
        y0, x0 = max(0, y - REACH), max(0, x - REACH)
        window = np.s_[y0 : y + h + REACH, x0 : x + w + REACH]
        shape, others = labels[window] == index, loose[window]
        if amounts[index] < solid * shape.sum() or not (is_thin(shape) or is_arrowhead(shape)):
            continue
        away = 255 - tone[window]
        edge, near = dilated(shape, 1) & ~shape, dilated(shape, 3) & ~dilated(shape, 1) & ~others
        far = dilated(shape, REACH) & ~dilated(shape, 4) & ~others
        if near.any() and far.any():
            change = float(np.percentile(spread_of(tone[window])[edge], BLUNT))
            sharpness = change / max(1.0, float(np.median(away[far])))
            shapes.append(_Shape(y0, x0, shape, float((away[near] > STEP).mean()), sharpness))
    return shapes


def _outlined(image: np.ndarray, outlines: np.ndarray, most: float) -> np.ndarray:
    """Areas that found shapes enclose, if they are narrow, or of a spread of at most `most` and not wide.

    These are letters and arrows with a halo.
    """
    inner = np.zeros(image.shape, bool)
    for x, y, w, h, _ in label_shapes(outlines)[1][1:].tolist():
        window = np.s_[y : y + h, x : x + w]
        free = np.pad(~outlines[window], 1, constant_values=True)
        _, parts, stats, _ = cv2.connectedComponentsWithStats(free.view(np.uint8), connectivity=4)
        outside = parts[0, 0]
        for part, (left, top, across, down, _) in enumerate(stats.tolist()):
            if part in {0, outside}:
                continue
            hole = parts[top : top + down, left : left + across] == part
            place = np.s_[y + top - 1 : y + top - 1 + down, x + left - 1 : x + left - 1 + across]
            if min(across, down) < NARROW or _is_narrow_or_even(image, place, hole, most):
                inner[place] |= hole
    return inner


def _is_narrow_or_even(image: np.ndarray, place: tuple[slice, slice], hole: np.ndarray, most: float) -> bool:
    padded = np.pad(hole, 1)
    width = 2 * float(cv2.distanceTransform(padded.view(np.uint8), cv2.DIST_L2, 3).max())
    if width <= NARROW or width > WIDE:
        return width <= NARROW
    core = hole & ~dilated(~padded, 2)[1:-1, 1:-1]
    return bool(core.any()) and float(np.median(spread_of(image[place])[core])) <= most
