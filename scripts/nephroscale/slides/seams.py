"""Straight seams at which the content of a picture breaks off from border to border, because pictures abut there.

Neighbouring lines of one picture are alike, whatever it shows. Where two pictures meet they are not, all along the
line, although each is like the next line of its own picture. Where a line was drawn on one picture, it goes on behind.
"""

from __future__ import annotations

import cv2
import numpy as np

TYPES = (np.uint8, np.uint16, np.float32)
ALONG = 256  # means along a line that are compared
LEAST_PX = 400  # side of a picture in which seams are looked for; in smaller ones, chance makes some
LINES = 1500  # that are compared
BROAD = 24  # shapes broader than the line over this are not compared
LEAST = 0.12  # share of the side that each picture has
UNLIKE, ALIKE = 0.35, 0.7  # most correlation of the lines at a seam, and least of those beside it
PIECES, BROKEN = 8, 0.75  # parts of a line, and share of them in which the content breaks off at a seam
BESIDE = 8  # lines from a seam to those beside it, more than a border between pictures has
NARROW, EVEN = 3, 0.2  # lines at a seam without a border; structure of a border at most, as a share of that beside it
TELLING, SAME = (
    0.25,
    0.5,
)  # correlation of lines of one picture as far apart; share of it from which on lines are of one
BROADLY_TELLING, BROADLY_SAME = 0.6, 0.6  # the same with broad shapes


def find_seam(grey: np.ndarray, masked: np.ndarray) -> str:
    """Say where several pictures meet at a line from border to border; empty where it is one picture.

    Parameters
    ----------
    grey
        [h, w] of any type of number.
    masked
        bool [h, w], pixels that do not count.
    """
    if min(grey.shape) < LEAST_PX:
        return ""
    for axis, what in ((1, "column"), (0, "row")):
        for place in _seams(*_lines_of(grey, masked, axis)):
            line = round(place * grey.shape[axis])
            return f"it shows several pictures, which meet at {what} {line}; save each as a file with a row of its own"
    return ""


def _lines_of(grey: np.ndarray, masked: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Lines along an axis as float32 [n, up to ALONG] means along them; without broad shapes, too, 0 where masked."""
    every = max(1, grey.shape[axis] // LINES)
    step = max(1, grey.shape[1 - axis] // ALONG)
    count, length = -(-grey.shape[axis] // every), grey.shape[1 - axis] // step

    def averaged(values: np.ndarray) -> np.ndarray:
        if axis:
            part = np.ascontiguousarray(values[: length * step, ::every])
            return cv2.resize(part, (count, length), interpolation=cv2.INTER_AREA).T
        part = np.ascontiguousarray(values[::every, : length * step])
        return cv2.resize(part, (length, count), interpolation=cv2.INTER_AREA)

    means = np.ascontiguousarray(averaged(grey if grey.dtype in TYPES else grey.astype(np.float32)), np.float32)
    fine = means - cv2.blur(means, (2 * (length // BROAD) + 1, 1))
    if masked.any():
        fine[averaged(masked.view(np.uint8) * np.uint8(255)) > 0] = 0
    return means, fine


def _seams(means: np.ndarray, fine: np.ndarray) -> list[float]:
    """Places of the lines before which the content breaks off, as shares of the side."""
    count = len(fine)
    like = _alike_lines(fine)
    hits = np.zeros(count - 1, bool)
    beside = np.minimum(like[: -2 * BESIDE], like[2 * BESIDE :])
    hits[BESIDE:-BESIDE] = (like[BESIDE:-BESIDE] < UNLIKE) & (beside >= ALIKE)
    margin = max(2 * BESIDE, int(LEAST * count))
    hits[:margin] = hits[-margin:] = False
    # A shape with a straight edge makes two lines unlike as well, but not all along.
    width = fine.shape[1] // PIECES
    pieces = [_alike_lines(fine[:, place * width : (place + 1) * width]) for place in range(PIECES)]
    hits &= np.mean(np.array(pieces) < (UNLIKE + ALIKE) / 2, axis=0) >= BROKEN
    return [(line + 1) / count for line in np.flatnonzero(hits).tolist() if _breaks_off(means, fine, like, line)]


def _alike_lines(lines: np.ndarray) -> np.ndarray:
    """Correlation of each line but the last with the next [n - 1]."""
    power = (lines * lines).sum(axis=1)
    return np.asarray((lines[1:] * lines[:-1]).sum(axis=1) / np.sqrt(np.maximum(power[1:] * power[:-1], 1e-6)))


def _breaks_off(means: np.ndarray, fine: np.ndarray, like: np.ndarray, line: int) -> bool:
    """Whether the lines before and after a seam and its border are less alike than others that are as far apart."""
    first, last = line, line
    while like[first - 1] < ALIKE and line - first < BESIDE:
        first -= 1
    while like[last + 1] < ALIKE and last - line < BESIDE:
        last += 1
    before, after = first - 1, last + 2
    power = np.abs(fine[[before, *range(first + 1, last + 1), after]]).mean(axis=1)
    if last - first >= NARROW and power[1:-1].max() > EVEN * min(power[0], power[-1]):
        return False  # an empty part of one picture, and no border
    distance = after - before
    places = [place for place in (before - distance, after) if 0 <= place < len(fine) - distance]
    comparable = False
    for lines, telling, same in (
        (fine, TELLING, SAME),
        (means - means.mean(axis=1, keepdims=True), BROADLY_TELLING, BROADLY_SAME),
    ):
        usual = max((_alike(lines[place], lines[place + distance]) for place in places), default=0.0)
        if usual >= telling:
            comparable = True
            if _alike(lines[before], lines[after]) >= same * usual:
                return False
    return comparable


def _alike(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other) / max(1e-6, float(np.linalg.norm(one) * np.linalg.norm(other)))
