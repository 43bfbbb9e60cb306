"""Find level and upright lines of any grey level on a TEM image: bars, boxes, frames, measured distances.

Along a drawn line the level is even over dozens of pixels, and on both sides of it the tissue is not. That holds in
JPEG too, where no pixel of a thin line is even with all its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from nephroscale.tem.beside import find_beside
from nephroscale.tem.screen import PALE_END, Levels

LEAST, STEP = 48, 4  # pixels; length of the shortest line, and of the steps in which it is looked for
THICKEST, SLENDER = 16, 6  # pixels, and length in thicknesses at least
EVEN, MOST_EVEN = 0.6, 6.5  # deviation along a line, as a share of the tissue's noise, and in levels
RANGE = 3.2  # range of the samples of a line that may be even, in deviations
ROUGH = 2.5  # deviation beside a line, in deviations along it
JUMP, CLEAR, ALL_ALONG = 30, 10, 0.85  # levels, and the share of the pixels beside a line that differ so much
ALL_CLIPPED = 0.95  # the same beside a line that is white or black
ENDS = 16  # pixels by which a line may be longer than found
LONGEST_BAR = 0.5  # length of a line that can have text, as a share of the side
MOST = 0.05  # share of the samples that begin an even segment; with more, evenness says nothing
AT_ONCE = 100_000  # segments
BORDER = 0.8  # length of a line at the image's border, as a share of the side


@dataclass(frozen=True)
class _Line:
    """Rows and columns of a line along a row, and its level."""

    rows: slice
    columns: slice
    level: float


def find_lines(levels: Levels) -> np.ndarray:
    """Find straight lines along rows and columns.

    Parameters
    ----------
    levels
        Of an image without data strips.

    Returns
    -------
    numpy.ndarray
        bool [h, w].
    """
    image = levels.image
    found = np.zeros(image.shape, bool)
    for picture, mask in ((image, found), (np.ascontiguousarray(image.T), found.T)):
        for line in _lines_along_rows(picture, levels.saturated):
            mask[line.rows, line.columns] = True
            if line.columns.stop - line.columns.start <= LONGEST_BAR * picture.shape[1]:
                window, beside = find_beside(picture, (line.rows, line.columns), line.level)
                mask[window] |= beside
    return found


def measure_noise(image: np.ndarray) -> float:
    """Deviation of the noise from pixel to pixel along rows, by the median absolute difference of neighbours."""
    some = image[:: max(1, len(image) // 128)]
    apart = cv2.absdiff(some[:, 1:], some[:, :-1])
    return float(np.median(apart)) / (0.6745 * 2**0.5)


def _lines_along_rows(image: np.ndarray, saturated: tuple[bool, bool]) -> list[_Line]:
    if image.shape[1] < LEAST or image.shape[0] < 8:
        return []
    noise = measure_noise(image)
    most = min(MOST_EVEN, max(1.0, EVEN * noise))
    samples = np.ascontiguousarray(image[:, ::STEP])
    window = np.ones((1, LEAST // STEP), np.uint8)
    low, high = cv2.erode(samples, window, anchor=(0, 0)), cv2.dilate(samples, window, anchor=(0, 0))
    even = cv2.subtract(high, low) <= RANGE * most
    even[:, samples.shape[1] - window.size + 1 :] = False
    # Most even tissue is thicker than a line.
    thick = cv2.morphologyEx(even.view(np.uint8), cv2.MORPH_OPEN, np.ones((THICKEST + 1, 1), np.uint8))
    rows, places = np.nonzero(even & (thick == 0))
    if len(rows) > MOST * samples.size:
        return []
    left = np.minimum(places * STEP, image.shape[1] - LEAST)
    keep = np.zeros(len(rows), bool)
    for first in range(0, len(rows), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        segments = image[rows[some, None], left[some, None] + np.arange(LEAST)]
        keep[some] = segments.std(axis=1, dtype=np.float32) <= most
    rows, left = rows[keep], left[keep]
    lines: list[_Line] = []
    done = np.zeros(image.shape, bool)
    for row, start, end in _runs(rows, left):
        if done[row, (start + end) // 2]:
            continue
        if (line := _line_at(image, (row, start, end), most, saturated)) is not None:
            lines.append(line)
            done[line.rows, line.columns] = True
    return lines


def _runs(rows: np.ndarray, left: np.ndarray) -> list[tuple[int, int, int]]:
    """Row, first and last column, exclusive, of the overlapping segments of a row; the longest first."""
    if not len(rows):
        return []
    apart = np.flatnonzero((np.diff(rows) != 0) | (np.diff(left) > LEAST)) + 1
    first, last = np.concatenate([[0], apart]), np.concatenate([apart - 1, [len(rows) - 1]])
    runs = [(int(rows[i]), int(left[i]), int(left[j]) + LEAST) for i, j in zip(first, last, strict=True)]
    return sorted(runs, key=lambda run: (run[1] - run[2], run))


def _line_at(image: np.ndarray, run: tuple[int, int, int], most: float, saturated: tuple[bool, bool]) -> _Line | None:
    """Return the line that a run of even pixels belongs to, None where it is tissue."""
    row, start, end = run
    height = len(image)
    top, bottom = max(0, row - THICKEST - 3), min(height, row + THICKEST + 4)
    part = image[top:bottom, start:end].astype(np.float32)
    levels, deviations = np.median(part, axis=1), part.std(axis=1)
    own = row - top
    level, deviation = float(levels[own]), max(1.0, float(deviations[own]))
    if deviation > most:
        return None
    alike = (np.abs(levels - level) <= max(3.0, deviation)) & (deviations <= max(2.5, 1.6 * deviation))
    first, last = own, own
    while first > 0 and alike[first - 1]:
        first -= 1
    while last < len(alike) - 1 and alike[last + 1]:
        last += 1
    if last - first + 1 > min(THICKEST, (end - start) / SLENDER):
        return None
    sharp = jumps = True
    for beside in (first - 2, last + 2):
        if not 0 <= top + beside < height:
            if end - start < BORDER * image.shape[1]:
                return None
            continue
        away = np.abs(part[beside] - level)
        # Most of a row beside a round shape is as even as the shape.
        rough = 1.4826 * float(np.median(np.abs(part[beside] - levels[beside]))) >= ROUGH * deviation
        sharp &= rough or float((away > max(CLEAR, 3 * deviation)).mean()) >= ALL_ALONG
        jumps &= float((away > JUMP).mean()) >= ALL_CLIPPED
    # Tissue that is white or black is as even.
    clipped = (saturated[0] and level >= 255 - PALE_END) or (saturated[1] and level <= PALE_END)
    if not sharp or (clipped and not jumps):
        return None
    columns = _to_its_ends(image[top + first : top + last + 1], start, end, level, deviation)
    return _Line(slice(top + first, top + last + 1), columns, level)


def _to_its_ends(band: np.ndarray, start: int, end: int, level: float, deviation: float) -> slice:
    near = (np.abs(np.median(band, axis=0) - level) <= max(4.0, 3 * deviation)).astype(bool)
    least, most = max(0, start - ENDS), min(len(near), end + ENDS)
    while start > least and near[start - 1]:
        start -= 1
    while end < most and near[end]:
        end += 1
    return slice(start, end)
