"""Pictures side by side in one file, as a figure has them: even bands from border to border divide it."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

SPARSE, MANY = 16, 128  # pixels between those that show which lines may be even, and how many suffice
EVEN = 0.94  # share of the pixels of a line of a band that have its level
JPEG = 14  # levels of 255 that JPEG changes a band by
BESIDE = 0.3  # share of the pixels next to a band that have another level
SMEAR = 2  # lines next to a band that its edge may smear
THIN, WIDE = 4, 0.06  # of a band: lines, and share of the side
LEAST = 0.15  # share of the side that a picture has
SAME = 0.4  # correlation of the lines on both sides of a band from which on they are of one picture
BROAD = 16  # shapes broader than the side over this are not compared
# The same for a black band in a dark picture, by means of pieces of the lines, in which JPEG's noise is little.
PIECES = 24
DARKEST, RISE = (3.0, 7.0), 3.5  # levels that a piece of a band is above the darkest at most (more where JPEG's colours
# smear), and that one beside it is above it
SMOOTH, LARGE = 9, 4  # pixels; shapes broader than the side over this are not compared
NEXT, FAR = 3, 10  # lines from a band to those beside it, and to those that are farther away
LIT, SLOW = 0.35, 0.25  # shares of the pieces on each side: that rise abruptly, at least; that rise slowly, at most


def find_panels(grey: np.ndarray) -> str:
    """Say where a file is divided into several pictures; empty where it is one.

    A band has one level (but for what is written into it), is narrow, and ends within two pixels on both sides. A line
    that was drawn across one picture is no band: the picture goes on behind it.

    Parameters
    ----------
    grey
        [h, w] of any type of number.
    """
    for lines, what in ((grey.T, "column"), (grey, "row")):
        for first, last in _bands(lines):
            if not _goes_on(lines, first, last):
                return (
                    f"it shows several pictures: an even band divides it at {what} {first}; save each picture as a "
                    "file with a row of its own"
                )
    return ""


def find_dark_band(grey: np.ndarray) -> str:
    """Say where a black band divides a dark picture that was saved as JPEG; empty where none does.

    Along a band, the picture begins abruptly on both sides, wherever it has light there. Tissue ends gradually, or not
    along a straight line from border to border.

    Parameters
    ----------
    grey
        uint8 [h, w], bright signal on a dark background.
    """
    for lines, what in ((grey.T, "column"), (grey, "row")):
        for first, last in _dark_bands(lines):
            if not _goes_on(lines, first, last) and not _goes_on(lines, first, last, SMOOTH, LARGE):
                return (
                    f"it shows several pictures: a black band divides it at {what} {first}; save each picture as a "
                    "file with a row of its own"
                )
    return ""


def _dark_bands(lines: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the first and the last line of each black band [lines, pixels]."""
    count = len(lines)
    if lines.dtype != np.uint8 or min(lines.shape) < 4 * PIECES:
        return
    means = cv2.resize(np.ascontiguousarray(lines).astype(np.float32), (PIECES, count), interpolation=cv2.INTER_AREA)
    brightest = means.max(axis=1) - float(means.min())
    for reach in DARKEST:
        dark = brightest <= reach
        for first, last in _groups(np.diff(dark), dark):
            thick = THIN <= last - first + 1 <= WIDE * count
            if not thick or min(first, count - last - 1) < LEAST * count:
                continue
            level = means[first + 1 : last].mean(axis=0)
            if _begins_abruptly(means[:first][::-1] - level) and _begins_abruptly(means[last + 1 :] - level):
                yield first, last


def _begins_abruptly(rise: np.ndarray) -> bool:
    """Whether the levels above a band's, in pieces of the lines from the band on, rise abruptly."""
    beside, far = rise[NEXT - 1 : NEXT + 2].mean(axis=0), rise[FAR : FAR + 6].mean(axis=0)
    abrupt = beside >= RISE
    slow = (far >= 3 * RISE) & ~abrupt
    return float(abrupt.mean()) >= LIT and float(slow.mean()) <= SLOW


def _bands(lines: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the first and the last line of each band [lines, pixels]."""
    sparse = lines[:, :: max(SPARSE, lines.shape[1] // MANY)]
    if sparse.shape[1] < 8:
        return
    levels = np.median(sparse, axis=1)
    apart = np.abs(sparse - levels[:, None].astype(np.float32))
    full = 255.0 if lines.dtype == np.uint8 else max(1.0, float(sparse.max()))
    for reach in (0.0, JPEG / 255 * full):
        may_be = (apart > reach).mean(axis=1) <= 3 * (1 - EVEN)
        ends = np.diff(may_be) | (np.abs(np.diff(levels)) > reach)
        for start, end in _groups(ends, may_be):
            if _is_band(lines, start, end, float(np.median(levels[start : end + 1])), reach):
                yield start, end


def _groups(ends: np.ndarray, wanted: np.ndarray) -> list[tuple[int, int]]:
    """First and last line of each group of wanted lines; a group ends after each line of `ends`."""
    last = np.append(np.flatnonzero(ends), len(ends))
    first = np.concatenate([[0], last[:-1] + 1])
    kept = wanted[first]
    return list(zip(first[kept].tolist(), last[kept].tolist(), strict=True))


def _is_band(lines: np.ndarray, first: int, last: int, level: float, reach: float) -> bool:
    count = len(lines)
    if not THIN <= last - first + 1 <= WIDE * count or min(first, count - last - 1) < LEAST * count:
        return False
    middle = lines[first + 1 : last].astype(np.float32)
    if (np.abs(middle - level) <= reach).mean() < EVEN:
        return False
    before, after = lines[first - SMEAR - 1], lines[last + SMEAR + 1]
    return all((np.abs(side.astype(np.float32) - level) > 2 * reach).mean() >= BESIDE for side in (before, after))


def _goes_on(lines: np.ndarray, first: int, last: int, smooth: int = 5, broad: int = BROAD) -> bool:
    """Whether the lines before and after a band are alike, so that it was drawn on one picture."""
    sides = [lines[first - SMEAR - 3 : first - SMEAR], lines[last + SMEAR + 1 : last + SMEAR + 4]]
    before, after = (_fine(side.astype(np.float64).mean(axis=0), smooth, broad) for side in sides)
    length = float(np.linalg.norm(before) * np.linalg.norm(after))
    return length > 0 and float(before @ after) / length >= SAME


def _fine(values: np.ndarray, smooth: int, broad: int) -> np.ndarray:
    """Subtract broad shapes, by a moving average, and smooth noise."""
    width = max(3, len(values) // broad)
    means = np.convolve(np.pad(values, width, mode="edge"), np.ones(width) / width, mode="same")[width:-width]
    smoothed = np.convolve(np.pad(values, smooth // 2, mode="edge"), np.ones(smooth) / smooth, mode="valid")
    fine: np.ndarray = smoothed - means
    return fine
