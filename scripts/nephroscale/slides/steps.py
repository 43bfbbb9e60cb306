"""Straight steps from border to border in a fluorescence picture, where two pictures abut.

Along the line where pictures meet, levels jump by more than they do beside it, nearly everywhere. Other straight lines
of a picture do so too: where a scanner joins two fields, or a line was drawn. There the lines on both sides are alike.
"""

from __future__ import annotations

import cv2
import numpy as np

LEAST_PX = 200  # side of a picture in which steps are looked for
LINES = 1024  # pixels of a line that are compared
PIECES = 16  # parts of a line
LEAST = 0.12  # share of the side that each picture has
STEEP = 1.5  # a jump is this many times as large as the largest of four beside it
RARE, OFTEN = 6.5, 0.25  # standard deviations above the other lines, and share of a line, that jump at a step
MORE, PIECES_WITH = 0.15, 0.6  # share by which a piece of the line jumps more often, and share of such pieces
TELLING, UNLIKE = 0.6, 0.6  # least correlation of lines of one picture, and share of it that is left across a step
STRUCTURE = 0.2  # least spread of the levels on one side, as a share of that on the other
WIDE, AWAY = 3, 3  # lines that are averaged, and lines between those of one picture
CANDIDATES = 4


def find_step(grey: np.ndarray) -> str:
    """Say where two pictures abut in a fluorescence picture; empty where it is one.

    Parameters
    ----------
    grey
        [h, w] uint8 or uint16, bright signal on a dark background.
    """
    if min(grey.shape) < LEAST_PX:
        return ""
    low, high = np.percentile(grey[::4, ::4], [2, 99.5])
    if high <= low:
        return ""
    for lines, what in ((grey, "column"), (grey.T, "row")):
        sample = np.ascontiguousarray(lines[:: max(1, len(lines) // LINES)], np.float32)
        levels = np.log1p(np.maximum(sample - np.float32(low), 0) * np.float32(50 / (high - low)))
        if (place := _step(levels)) is not None:
            return (
                f"it shows several pictures, which meet at {what} {place}; save each picture as a file with a row of "
                "its own"
            )
    return ""


def _step(levels: np.ndarray) -> int | None:
    """The first column of the second picture in levels [n, columns]; None if there is one picture."""
    jumps = np.abs(np.diff(levels, axis=1))
    beside = np.maximum.reduce([jumps[:, :-4], jumps[:, 1:-3], jumps[:, 3:-1], jumps[:, 4:]])
    count = len(levels) // PIECES * PIECES
    steep = jumps[:count, 2:-2] > STEEP * beside[:count]
    pieces = steep.reshape(PIECES, -1, steep.shape[1]).mean(axis=1)
    share = pieces.mean(axis=0)
    usual, spread = float(np.median(share)), float(share.std())
    margin = max(4 * (WIDE + AWAY), int(LEAST * levels.shape[1]))
    for place in (np.argsort(share[margin:-margin], kind="stable")[::-1][:CANDIDATES] + margin).tolist():
        rare = share[place] - usual > RARE * spread and share[place] > OFTEN
        if rare and (pieces[:, place] > usual + MORE).mean() >= PIECES_WITH and _differ(levels, place + 3):
            return int(place + 3)
    return None


def _differ(levels: np.ndarray, first: int) -> bool:
    """Whether the columns on both sides of a step are unlike, though columns as near on one side are alike."""

    def line(start: int) -> np.ndarray:
        means = levels[:, start : start + WIDE].mean(axis=1)
        return np.asarray(cv2.blur(means[:, None], (1, 5))[:, 0])

    before, after = line(first - WIDE), line(first)
    if min(before.std(), after.std()) < STRUCTURE * max(before.std(), after.std()):
        return False  # an empty border, or a bar
    one = _alike(line(first - 2 * WIDE - AWAY + 1), before)
    other = _alike(after, line(first + WIDE + AWAY - 1))
    within = max(one, other)
    return within >= TELLING and _alike(before, after) < UNLIKE * within


def _alike(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation; 1 where a line has one level and nothing can be compared."""
    one, other = one - one.mean(), other - other.mean()
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / length if length > 1e-6 else 1.0
