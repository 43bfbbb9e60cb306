"""Straight seams at which the content of a picture breaks off: pictures that abut, and insets of another scale.

Neighbouring lines of one picture are alike, whatever it shows. Where two pictures meet they are not, although each is
like the next line of its own picture. Where a line or a border was drawn on one picture, it goes on behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

TYPES = (np.uint8, np.uint16, np.float32)
ALONG = 256  # means along a line that are compared
LINES = 1500  # that are compared
BROAD = 24  # shapes broader than the line over this are not compared
LEAST = 0.12  # share of the side that each picture has
UNLIKE, ALIKE = 0.35, 0.7  # most correlation of the lines at a seam, and least of those beside it
BESIDE = 8  # lines from a seam to those beside it, more than the border of an inset has
WINDOW = 0.1  # share of the side in which lines are compared for insets
GAP = 0.06  # share of the side that a seam may be interrupted for
CORNER = 0.08  # share of the side within which two seams of an inset meet
NARROW, EVEN = 3, 0.2  # lines at a seam without a border; structure of a border at most, as a share of that beside it
TELLING = 0.25  # correlation of lines of one picture, as far from each other as those before and after a seam;
SAME = 0.5  # share of it from which on these are of one picture
BROADLY_TELLING, BROADLY_SAME = 0.6, 0.6  # the same with broad shapes


class Seam(NamedTuple):
    """A straight seam: the line before which it is, and where it starts and ends along it, as shares of the sides."""

    line: float
    first: float
    last: float


class _Lines(NamedTuple):
    """Lines of a picture as means along them, float32 [n, up to ALONG]; without broad shapes (0 where masked); mask."""

    means: np.ndarray
    fine: np.ndarray
    hidden: np.ndarray


def find_seams(grey: np.ndarray, masked: np.ndarray) -> str:
    """Say where the content of a picture breaks off; empty where it is one picture.

    Parameters
    ----------
    grey
        [h, w] of any type of number.
    masked
        bool [h, w], pixels that do not count.

    Returns
    -------
    str
        That several pictures meet at a seam from border to border, or that another picture lies within the picture, in
        a corner or amid it.
    """
    columns, rows = (_lines_of(grey, masked, axis) for axis in (1, 0))
    if columns is None or rows is None:
        return ""
    for lines, what, count in ((columns, "column", grey.shape[1]), (rows, "row", grey.shape[0])):
        for seam in _seams(lines, whole=True):
            place = round(seam.line * count)
            return f"it shows several pictures, which meet at {what} {place}; save each as a file with a row of its own"
    across = list(_seams(columns, whole=False))
    for row in _seams(rows, whole=False) if across else ():
        for column in across:
            meet = min(abs(row.line - end) for end in column[1:]), min(abs(column.line - end) for end in row[1:])
            if max(meet) <= CORNER:
                x, y = round(column.line * grey.shape[1]), round(row.line * grey.shape[0])
                return (
                    f"it shows a picture within the picture, with a corner near column {x} and row {y}, as an inset of "
                    "another magnification; save it without the inset"
                )
    return ""


def _lines_of(grey: np.ndarray, masked: np.ndarray, axis: int) -> _Lines | None:
    """Prepare the lines along an axis; None of a picture that is too small."""
    every = max(1, grey.shape[axis] // LINES)
    step = max(1, grey.shape[1 - axis] // ALONG)
    count, length = -(-grey.shape[axis] // every), grey.shape[1 - axis] // step
    if min(count, length) < 64:
        return None

    def averaged(values: np.ndarray) -> np.ndarray:
        if axis:  # means down the columns of all, of which some are taken
            part = np.ascontiguousarray(values[: length * step])
            return cv2.resize(part, (part.shape[1], length), interpolation=cv2.INTER_AREA)[:, ::every].T
        part = np.ascontiguousarray(values[::every, : length * step])
        return cv2.resize(part, (length, count), interpolation=cv2.INTER_AREA)

    means = np.ascontiguousarray(averaged(grey if grey.dtype in TYPES else grey.astype(np.float32)), np.float32)
    fine = means - cv2.blur(means, (2 * (length // BROAD) + 1, 1))
    hidden = np.zeros(fine.shape, bool)
    if masked.any():
        hidden = averaged(masked.view(np.uint8) * np.uint8(255)) > 0
        fine[hidden] = 0
    return _Lines(means, fine, hidden)


def _seams(lines: _Lines, *, whole: bool) -> Iterator[Seam]:
    """Yield seams along whole lines, or along parts of them."""
    count, length = lines.fine.shape
    size = length if whole else 2 * int(WINDOW * length / 2) + 1

    def mean(values: np.ndarray) -> np.ndarray:
        if whole:
            return np.asarray(values.mean(axis=1, keepdims=True))
        return cv2.blur(values, (size, 1), borderType=cv2.BORDER_REFLECT)

    power = mean(lines.fine * lines.fine)
    like = mean(lines.fine[1:] * lines.fine[:-1]) / np.sqrt(np.maximum(power[1:] * power[:-1], 1e-6))
    hits = np.zeros(like.shape, bool)
    beside = np.minimum(like[: -2 * BESIDE], like[2 * BESIDE :])
    hits[BESIDE:-BESIDE] = (like[BESIDE:-BESIDE] < UNLIKE) & (beside >= ALIKE)
    margin = max(2 * BESIDE, int(LEAST * count / (1 if whole else 2)))
    hits[:margin] = hits[-margin:] = False
    if whole:
        hits = np.repeat(hits, length, axis=1)
    elif lines.hidden.any():  # the edge of a label is no seam
        labels = cv2.dilate(lines.hidden.view(np.uint8), np.ones((1, size), np.uint8)) > 0
        hits[BESIDE:-BESIDE] &= ~(labels[: -2 * BESIDE - 1] | labels[2 * BESIDE + 1 :])
    closing = np.ones((1, 2 * int(GAP * length / 2) + 1), np.uint8)
    for line in np.flatnonzero(hits.sum(axis=1) >= LEAST / 2 * length):
        closed = cv2.morphologyEx(hits[line][None].view(np.uint8), cv2.MORPH_CLOSE, closing)[0]
        for first, last in np.flatnonzero(np.diff(np.pad(closed, 1))).reshape(-1, 2):
            if last - first >= LEAST * length and _breaks_off(lines, like, int(line), first, last):
                yield Seam((int(line) + 1) / count, first / length, last / length)


def _breaks_off(lines: _Lines, like: np.ndarray, line: int, start: int, end: int) -> bool:
    """Whether the lines before and after a seam and its border are less alike than others that are as far apart."""
    unlike = np.median(like[:, start:end], axis=1) < ALIKE
    first, last = line, line
    while unlike[first - 1] and line - first < BESIDE:
        first -= 1
    while unlike[last + 1] and last - line < BESIDE:
        last += 1
    before, after = first - 1, last + 2
    power = np.abs(lines.fine[[before, *range(first + 1, last + 1), after], start:end]).mean(axis=1)
    if last - first >= NARROW and power[1:-1].max() > EVEN * min(power[0], power[-1]):
        return False  # an empty part of one picture, and no border
    distance = after - before
    places = [place for place in (before - distance, after) if 0 <= place < len(lines.fine) - distance]
    broad = lines.means[:, start:end]
    comparable = False
    for fine, telling, same in (
        (lines.fine[:, start:end], TELLING, SAME),
        (broad - broad.mean(axis=1, keepdims=True), BROADLY_TELLING, BROADLY_SAME),
    ):
        usual = max((_alike(fine[place], fine[place + distance]) for place in places), default=0.0)
        if usual >= telling:
            comparable = True
            if _alike(fine[before], fine[after]) >= same * usual:
                return False
    return comparable


def _alike(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other) / max(1e-6, float(np.linalg.norm(one) * np.linalg.norm(other)))
