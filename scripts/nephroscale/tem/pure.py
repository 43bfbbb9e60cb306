"""Find what was drawn in white or black on a TEM image, by shape: arrows, letters, asterisks, outlines, what they hold.

Tissue reaches the ends of the range too, but there it fades over several pixels, or fills round areas.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from nephroscale.tem.shapes import dilated, is_thin, label_shapes, percentile, spread_of

PURE, PALE = 244, 200  # levels of what was drawn in white, and of its smoothed edges; 255 minus these in black
LEAST = 12  # pure pixels of a shape
SOLID = 0.5  # share of a drawn shape that is pure
CLOSE = (PURE - 24, PURE - 4)  # levels that tissue which reaches pure ones has more often, and drawn shapes have rarely
FEW = 0.002  # share of pure pixels that cost little tissue even if they are tissue
LEAST_SATURATED, SOLID_SATURATED, SHARP_SATURATED = 40, 0.6, 0.75  # limits where the tissue itself is saturated
STEP = 30  # levels between a shape and what surrounds it
AROUND, AROUND_NEXT = 0.85, 0.6  # share of the surroundings that have this step; for a shape next to a certain one
SHARP, SHARP_NEXT = 0.6, 0.5  # change from pixel to pixel along most of an edge, as a share of the whole step
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


def find_pure_shapes(image: np.ndarray) -> np.ndarray:
    """Find thin white and black shapes with a sharp edge, and the letters and arrows that such a shape outlines.

    Parameters
    ----------
    image
        uint8 [h, w] without data strips.

    Returns
    -------
    numpy.ndarray
        bool [h, w].
    """
    found = np.zeros(image.shape, bool)
    for tone in (image, cv2.bitwise_not(image)):
        pure = tone >= PURE
        if cv2.countNonZero(pure.view(np.uint8)) < LEAST:
            continue
        shapes = _thin_shapes(tone, pure)
        near = np.zeros(image.shape, bool)
        sharp = SHARP_SATURATED if is_saturated(tone) else SHARP
        for shape in shapes:
            if shape.sharpness >= sharp and shape.around >= AROUND:
                found[shape.window] |= shape.mask
                h, w = shape.mask.shape
                near[max(0, shape.y - h // 4) : shape.y + h + h // 4, max(0, shape.x - h) : shape.x + w + h] = True
        for shape in shapes:
            if shape.sharpness >= SHARP_NEXT and shape.around >= AROUND_NEXT and near[shape.window][shape.mask].all():
                found[shape.window] |= shape.mask
    return found | _outlined(image, found) if found.any() else found


def is_saturated(tone: np.ndarray) -> bool:
    """Whether tissue reaches white in an image, uint8 [h, w]: levels a little darker are then more frequent."""
    counts = cv2.calcHist([tone], [0], None, [256], [0, 256]).ravel()
    pure = counts[PURE:].sum()
    return bool(pure > FEW * tone.size and counts[slice(*CLOSE)].sum() > pure)


def _thin_shapes(tone: np.ndarray, pure: np.ndarray) -> list[_Shape]:
    """Shapes of pure pixels and their smoothed edges that are thin, of an image in which the drawn ones are white."""
    loose = dilated(pure, 2) & (tone >= PALE)
    labels, stats = label_shapes(loose)
    amounts = np.bincount(labels[pure], minlength=len(stats))
    height, width = tone.shape
    saturated = is_saturated(tone)
    least, solid = (LEAST_SATURATED, SOLID_SATURATED) if saturated else (LEAST, SOLID)
    fits = (amounts >= least) & (stats[:, 2] <= 0.95 * width) & (stats[:, 3] <= 0.5 * height)
    shapes = []
    for index in np.flatnonzero(fits[1:]) + 1:
        x, y, w, h = (int(value) for value in stats[index, :4])
        y0, x0 = max(0, y - REACH), max(0, x - REACH)
        window = np.s_[y0 : y + h + REACH, x0 : x + w + REACH]
        shape, others = labels[window] == index, loose[window]
        if amounts[index] < solid * shape.sum() or not is_thin(shape):
            continue
        away = 255 - tone[window]
        edge, near = dilated(shape, 1) & ~shape, dilated(shape, 3) & ~dilated(shape, 1) & ~others
        far = dilated(shape, REACH) & ~dilated(shape, 4) & ~others
        if near.any() and far.any():
            change = float(np.percentile(spread_of(tone[window])[edge], BLUNT))
            sharpness = change / max(1.0, float(np.median(away[far])))
            shapes.append(_Shape(y0, x0, shape, float((away[near] > STEP).mean()), sharpness))
    return shapes


def _outlined(image: np.ndarray, outlines: np.ndarray) -> np.ndarray:
    """Areas that found shapes enclose, if they are narrow, or even and not wide: letters and arrows with a halo."""
    inner = np.zeros(image.shape, bool)
    _, stats = label_shapes(outlines)
    spread = spread_of(image)
    most = EVEN * percentile(spread, 50)
    for x, y, w, h, _ in stats[1:].tolist():
        window = np.s_[y : y + h, x : x + w]
        free = np.pad(~outlines[window], 1, constant_values=True)
        count, parts = cv2.connectedComponents(free.view(np.uint8), connectivity=4)
        for part in range(1, count):
            hole = (parts == part)[1:-1, 1:-1]
            if part == parts[0, 0] or not hole.any():
                continue
            width = 2 * float(cv2.distanceTransform(np.pad(hole, 1).view(np.uint8), cv2.DIST_L2, 3).max())
            core = hole & ~dilated(~hole, 2)
            even = core.any() and float(np.median(spread[window][core])) <= most
            if width <= NARROW or (even and width <= WIDE):
                inner[window] |= hole
    return inner
