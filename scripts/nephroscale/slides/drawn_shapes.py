"""Bars, boxes, text and data strips drawn on a fluorescence picture in the dye's own colour, or on a grey one.

What was drawn has one level, and its edge is as sharp as pixels allow. Saturated tissue has one level too, but its edge
is blurred by the objective.
"""

from __future__ import annotations

import cv2
import numpy as np

from nephroscale.slides.dye import components, dilated

Box = tuple[int, int, int, int]  # y, x, height, width

STRIP = 0.3  # most of the height that a data strip takes
OWN = 0.1  # most of the picture at the level of a strip, as a share
FRAME = 0.9  # share of the pixels of a column from which on it is of a frame
SAME = 10  # levels of 255 that JPEG spreads one drawn level over
BRIGHT = 0.6  # level of a mark, as a share of the brightest
EDGE = 0.35  # level two pixels outside a mark, over its surroundings, as a share of the mark's
ALL_AROUND = 0.9  # share of the pixels round a mark for which this holds
EVEN = 0.8  # share of the pixels of a shape at one level
LARGE, LONG, FULL = 60, 3.0, 0.9  # of a bar or box: pixels, length by width, share of its rectangle
THIN = 1.8  # area of an arrow, in squares of its thickness
STROKE = 0.45  # width of a letter's lines, as a share of its height; nuclei are broader
TOPS = (0.85, 0.6)  # levels of letters, which are too thin to be even, as shares of the brightest
SHORTEST = 5  # pixels, height of a letter
LETTERS, MOST_LETTERS = 3, 300  # that make a text; more shapes that could be letters are granules


def find_picture(grey: np.ndarray) -> tuple[slice, slice]:
    """Find the picture between data strips or a frame: rows and columns of uint8 or uint16 [h, w]."""
    rows = slice(*find_strips(grey))
    return rows, slice(*find_strips(grey[rows].T))


def find_strips(grey: np.ndarray) -> tuple[int, int]:
    """Find the rows between data strips at the top and the bottom.

    Parameters
    ----------
    grey
        uint8 or uint16 [h, w].

    Returns
    -------
    tuple of int
        First row of the picture and the row after its last; (0, h) without strips.
    """
    top, bottom = (max(_strip_rows(way, 1.0), _strip_rows(way, SAME)) for way in (grey, grey[::-1]))
    return top, len(grey) - bottom


def _strip_rows(grey: np.ndarray, reach: float) -> int:
    height = len(grey)
    edge = max(3, height // 200)
    values, counts = np.unique(grey[: 2 * edge], return_counts=True)
    level = int(values[counts.argmax()])
    same = np.abs(grey.astype(np.int32) - level) <= reach / 255 * max(255, level)
    same = same[:, same.mean(axis=0) < FRAME]
    if not same.size:
        return 0
    share = same.mean(axis=1)
    # Rows of dense text or a ruled line may interrupt it.
    rows = np.pad(share >= 0.5, 2 * edge, mode="edge").astype(np.uint8)
    inside = cv2.morphologyEx(rows, cv2.MORPH_CLOSE, np.ones(2 * edge)).ravel()[2 * edge : -2 * edge]
    end = int(inside.argmin())
    if inside.all() or end < max(6, height // 80) or end > height * STRIP:
        return 0
    # An empty border of the picture is even too, but it does not end in one row, nor is the rest without its level.
    sharp = share[max(0, end - 2 * edge) : end].max() - share[end + 1 : end + 1 + edge].max() >= 0.35
    return end + 1 if sharp and share[end + 1 : int((1 - STRIP) * height)].mean() < OWN else 0


def find_shapes(levels: np.ndarray) -> np.ndarray:
    """Find bars, boxes and text of one bright level.

    Parameters
    ----------
    levels
        uint8 [h, w], from black to the picture's brightest value.

    Returns
    -------
    ndarray
        bool [h, w], with the smoothed edges of the shapes.
    """
    least = max(24, int(BRIGHT * int(levels.max())))
    smallest, largest = (kind(levels, np.ones((3, 3), np.uint8)) for kind in (cv2.erode, cv2.dilate))
    even = (levels >= least) & (largest - smallest <= SAME)
    bright = [levels >= max(least, top * int(levels.max())) for top in TOPS]
    # Levels far above those of all tissue are drawn; then other thin shapes count, too: arrows.
    apart = int((bright[-1] & ~dilated(bright[0], 3)).sum()) < LARGE
    found = np.zeros(levels.shape, bool)
    for candidates in (dilated(even, 1) & (levels >= least), *bright):
        _mark_bars_and_text(levels, candidates, found, any_shape=apart)
    return dilated(found, 2) if found.any() else found


def _mark_bars_and_text(levels: np.ndarray, candidates: np.ndarray, found: np.ndarray, *, any_shape: bool) -> None:
    letters: list[tuple[Box, bool]] = []  # and whether its lines are thin
    parts: list[tuple[tuple[slice, slice], np.ndarray]] = []
    for window, part in components(candidates, 4):
        inner = levels[window]
        if not (_is_of_one_level(inner, part) and _is_sharp(inner, part)):
            continue
        ys, xs = np.nonzero(part)
        y, x, h, w = (int(n) for n in (ys.min(), xs.min(), np.ptp(ys) + 1, np.ptp(xs) + 1))
        closed = cv2.morphologyEx(part.view(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
        width = 2 * float(cv2.distanceTransform(closed, cv2.DIST_L2, 3).max())
        if len(ys) >= LARGE and (_is_bar(ys, xs) or (any_shape and len(ys) >= THIN * width**2)):
            found[window] |= part
        elif h >= SHORTEST:
            letters.append(((window[0].start + y, window[1].start + x, h, w), width <= max(3, STROKE * h)))
            parts.append((window, part))
    if len(letters) > MOST_LETTERS:
        return
    for (box, _), (window, part) in zip(letters, parts, strict=True):
        if sum(thin and _in_line(box, other) for other, thin in letters) >= LETTERS:
            found[window] |= part


def _in_line(box: Box, other: Box) -> bool:
    (y, x, h, w), (v, u, k, m) = box, other
    height = max(h, k)
    return abs(y + h - v - k) <= 0.35 * height and 0.5 <= k / h <= 2 and max(u - x - w, x - u - m) <= 1.5 * height


def _is_bar(ys: np.ndarray, xs: np.ndarray) -> bool:
    _, (width, length), _ = cv2.minAreaRect(np.stack([xs, ys], axis=1).astype(np.float32))
    sides = sorted((width + 1, length + 1))
    return bool(sides[1] >= LONG * sides[0] and len(ys) >= FULL * sides[0] * sides[1])


def _is_of_one_level(levels: np.ndarray, part: np.ndarray) -> bool:
    """Whether most pixels that are not at the smoothed edge have the most frequent level."""
    level = int(np.bincount(levels[part], minlength=256).argmax())
    same = part & (np.abs(levels.astype(np.int16) - level) <= 2 * SAME)
    edge = part & ~same & dilated(~part, 1)
    return bool(same.sum() >= EVEN * (part & ~edge).sum())


def _is_sharp(levels: np.ndarray, shape: np.ndarray) -> bool:
    ring = dilated(shape, 2) & ~dilated(shape, 1)
    outside = ~dilated(shape, 4)
    if not ring.any():
        return False
    ground = float(np.median(levels[outside])) if outside.any() else 0.0
    limit = ground + EDGE * (float(np.median(levels[shape])) - ground)
    return float((levels[ring] <= limit).mean()) >= ALL_AROUND
