"""Find levels of a slide that show another picture than the finer ones."""

from __future__ import annotations

from contextlib import suppress

import cv2
import numpy as np

from nephroscale.slides.readers.base import SlideReader, UnreadableRegion

PATCH_PX = 128  # side of a compared region, pixels of the coarser level
MOST_FINE_PX = 1024  # and of the finer one
PLACES = 8
SHIFT_PX = 6  # by which levels may be displaced
FINE, COARSE = 1.0, 3.0  # standard deviations that limit the structure that is compared, pixels of the coarser level
LEAST_STRUCTURE = 0.01  # standard deviation of a region that can be compared, as a share of the slide's range
ALIKE = 0.6  # least correlation of levels of one picture; those that were tried have at least 0.8, others at most 0.4
LAPLACIANS = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)  # blind to edges
PASSED = 0.238  # share of the standard deviation of white noise that lies between FINE and COARSE
MOST_NOISE = 1.3  # times the variance of noise, which is estimated in a small region
GUIDE_PX = 2048  # largest level in which regions with structure are looked for
LEAST_PX = 32


def find_other_picture(slide: SlideReader) -> str:
    """Say which level of a slide shows another picture than the next finer one; empty where none does.

    Regions with structure are compared by the correlation of what lies between fine noise and broad shapes, wherever
    within a few pixels it is highest. Levels without structure are not judged.

    Parameters
    ----------
    slide
        An open slide.
    """
    places = _places(slide)
    full = _brightest(slide, places)
    for level in range(1, len(slide.sizes)):
        found = [one for place in places if (one := _likeness(slide, level, place, full)) is not None]
        if found and float(np.median(found)) < ALIKE:
            width, height = slide.sizes[level]
            return f"its level of {width} x {height} pixels shows another picture than the next larger one"
    return ""


def _places(slide: SlideReader) -> list[tuple[float, float]]:
    """Choose centres of regions with structure, as fractions of width and height."""
    spread = [(x, y) for y in (0.25, 0.5, 0.75) for x in (0.25, 0.5, 0.75)]
    last = len(slide.sizes) - 1
    if not last or max(slide.sizes[last]) > GUIDE_PX:
        return spread
    try:
        grey = _grey(*slide.read_level(last, 0, 0, *slide.sizes[last]))
    except UnreadableRegion:
        return spread
    side = max(8, min(grey.shape) // 8)
    mean, square = (cv2.boxFilter(one, -1, (side, side)) for one in (grey, grey * grey))
    structure = square - mean * mean
    places = []
    for _ in range(PLACES):
        y, x = np.unravel_index(int(structure.argmax()), structure.shape)
        if structure[y, x] <= 0:
            break
        places.append(((x + 0.5) / grey.shape[1], (y + 0.5) / grey.shape[0]))
        structure[max(0, y - side) : y + side + 1, max(0, x - side) : x + side + 1] = 0
    return places + spread[:3]


def _brightest(slide: SlideReader, places: list[tuple[float, float]]) -> float:
    """Find the range of a slide's values: 255 for 8 bits, else the largest value near the places, at least 1."""
    if slide.dtype == np.uint8:
        return 255.0
    last, (width, height) = len(slide.sizes) - 1, slide.sizes[-1]
    across, along = min(PATCH_PX, width), min(PATCH_PX, height)
    found = [1.0]
    for x, y in places:
        with suppress(UnreadableRegion):
            pixels, _ = slide.read_level(last, round(x * (width - across)), round(y * (height - along)), across, along)
            found.append(float(pixels.max()))
    return max(found)


def _likeness(slide: SlideReader, level: int, place: tuple[float, float], full: float) -> float | None:
    """Correlate a region of a level with the next finer one; None without structure, or if one cannot be read."""
    (width, height), (fine_width, fine_height) = slide.sizes[level], slide.sizes[level - 1]
    across, along = fine_width / width, fine_height / height
    side = min(PATCH_PX, int(MOST_FINE_PX / max(across, along)), width, height)
    if side < LEAST_PX:
        return None
    x, y = (min(max(0, round(at * n - side / 2)), n - side) for at, n in zip(place, (width, height), strict=True))
    box = round(x * across), round(y * along), round(side * across), round(side * along)
    try:
        coarse = _grey(*slide.read_level(level, x, y, side, side))
        fine = _grey(*slide.read_level(level - 1, *box))
    except UnreadableRegion:
        return None
    reduced = cv2.resize(fine, (side, side), interpolation=cv2.INTER_AREA)
    (one, spread), (other, finer) = (_structure(grey) for grey in (coarse, reduced))
    spreads = spread / full, finer / full
    if max(spreads) < LEAST_STRUCTURE:
        return None
    if min(spreads) < LEAST_STRUCTURE / 10:
        return 0.0
    inner = one[SHIFT_PX:-SHIFT_PX, SHIFT_PX:-SHIFT_PX]
    return float(cv2.matchTemplate(other, np.ascontiguousarray(inner), cv2.TM_CCOEFF_NORMED).max())


def _structure(grey: np.ndarray) -> tuple[np.ndarray, float]:
    """Give what lies between fine noise and broad shapes, and its standard deviation beyond that of white noise.

    The noise is that of Immerkær, "Fast noise variance estimation" (Computer Vision and Image Understanding, 1996).
    """
    band: np.ndarray = cv2.GaussianBlur(grey, (0, 0), FINE) - cv2.GaussianBlur(grey, (0, 0), COARSE)
    noise = np.sqrt(np.pi / 2) / 6 * np.abs(cv2.filter2D(grey, -1, LAPLACIANS)[1:-1, 1:-1]).mean()
    return band, float(np.sqrt(max(0.0, band.var() - MOST_NOISE * (PASSED * noise) ** 2)))


def _grey(pixels: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Mean of the channels, float32 [h, w]; what the file does not have takes the mean of the rest."""
    grey: np.ndarray = pixels.astype(np.float32).mean(axis=-1)
    if valid.any():
        grey[~valid] = grey[valid].mean()
    return grey
