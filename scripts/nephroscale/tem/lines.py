"""Find level and upright lines of any grey level on a TEM image: bars, boxes, frames, measured distances.

Along a drawn line the level is even over dozens of pixels, and on both sides of it the tissue is not. That holds in
JPEG too, where no pixel of a thin line is even with all its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from nephroscale.tem.beside import find_beside
from nephroscale.tem.screen import Levels
from nephroscale.tem.shapes import Window, contiguous, median, share
from nephroscale.tem.survey import PALE_END

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
BAND = 128_000  # samples; so many stay in the processor's cache
FEW = 20_000  # segments that are read down the columns of an image; for more, it is transposed
BORDER = 0.8  # length of a line at the image's border, as a share of the side


@dataclass(frozen=True)
class Line:
    """Rows and columns of a line along a row, and its level."""

    rows: slice
    columns: slice
    level: float


def find_lines(levels: Levels) -> tuple[list[Line], list[Line]]:
    """Find straight lines along rows, and along columns.

    Parameters
    ----------
    levels
        Of an image without data strips.

    Returns
    -------
    tuple
        Lines along rows, and those along columns, in the image with rows and columns exchanged.
    """
    along_rows, along_columns = (_lines_along_rows(each, levels.saturated) for each in (levels.image, levels.image.T))
    return along_rows, along_columns


def draw_lines(image: np.ndarray, lines: tuple[list[Line], list[Line]]) -> Iterator[tuple[Window, np.ndarray]]:
    """Give the pixels of lines, and of the ticks and letters at them.

    Parameters
    ----------
    image
        uint8 [h, w].
    lines
        Along rows, and along columns.

    Yields
    ------
    tuple
        Rows and columns of a window with a line, or with its text, and bool of its shape.
    """
    for turned, (picture, own) in enumerate(zip((image, image.T), lines, strict=True)):
        for line in own:
            window: Window = (line.rows, line.columns)
            found = [(window, np.ones_like(picture[window], bool))]
            if line.columns.stop - line.columns.start <= LONGEST_BAR * picture.shape[1]:
                found.append(find_beside(picture, window, line.level))
            for (rows, columns), shape in found:
                yield ((columns, rows), shape.T) if turned else ((rows, columns), shape)


def measure_noise(image: np.ndarray) -> float:
    """Deviation of the noise from pixel to pixel along rows, by the median absolute difference of neighbours."""
    some = np.ascontiguousarray(image[:: max(1, len(image) // 128)])
    change = cv2.absdiff(some[:, 1:], some[:, :-1])
    counts = cv2.calcHist([change], [0], None, [256], [0, 256]).ravel().astype(np.int64).cumsum()
    middle = [int(np.searchsorted(counts, place, side="right")) for place in ((counts[-1] - 1) // 2, counts[-1] // 2)]
    return sum(middle) / 2 / (0.6745 * 2**0.5)


def _lines_along_rows(image: np.ndarray, saturated: tuple[bool, bool]) -> list[Line]:
    if image.shape[1] < LEAST or image.shape[0] < 8:
        return []
    most = min(MOST_EVEN, max(1.0, EVEN * measure_noise(image)))
    columns = -(-image.shape[1] // STEP)
    places = _even_segments(image, int(RANGE * most))
    if not len(places) or len(places) > MOST * len(image) * columns:
        return []
    if len(places) > FEW:
        image = contiguous(image)
    rows, left = np.divmod(places, columns)
    left = np.minimum(left * STEP, image.shape[1] - LEAST)
    keep = np.zeros(len(rows), bool)
    segments = np.lib.stride_tricks.sliding_window_view(image, LEAST, axis=1)
    for first in range(0, len(rows), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        keep[some] = _variances(segments[rows[some], left[some]]) <= most * most
    rows, left = rows[keep], left[keep]
    lines: list[Line] = []
    done = np.zeros(image.shape, bool)
    for row, start, end in _runs(rows, left):
        if done[row, (start + end) // 2]:
            continue
        if (line := _line_at(image, (row, start, end), most, saturated)) is not None:
            lines.append(line)
            done[line.rows, line.columns] = True
    return lines


def _even_segments(image: np.ndarray, most: int) -> np.ndarray:
    """Places where even segments of rows begin that are not one of many, in the flattened samples, ascending."""
    length = LEAST // STEP
    places = []
    height = max(THICKEST, STEP * BAND // image.shape[1])
    for start in range(0, len(image), height):
        first = max(0, start - THICKEST)
        part = image[first : start + height + THICKEST]
        samples = np.ascontiguousarray(part[:, ::STEP]) if part.strides[1] == 1 else cv2.transpose(part.T[::STEP])
        window = np.ones((1, length), np.uint8)
        low, high = cv2.erode(samples, window, anchor=(0, 0)), cv2.dilate(samples, window, anchor=(0, 0))
        even = cv2.threshold(cv2.subtract(high, low, dst=low), most, 1, cv2.THRESH_BINARY_INV, dst=high)[1]
        even[:, max(0, samples.shape[1] - length + 1) :] = 0
        if not cv2.countNonZero(even):
            continue
        # Most even tissue is thicker than a line.
        even = cv2.subtract(even, cv2.morphologyEx(even, cv2.MORPH_OPEN, np.ones((THICKEST + 1, 1), np.uint8)))
        inner = even[start - first : start - first + height]
        places.append(np.flatnonzero(inner.view(bool)) + start * samples.shape[1])
    return np.concatenate(places) if places else np.empty(0, np.intp)


def _variances(segments: np.ndarray) -> np.ndarray:
    """Variance of the levels of each segment, uint8 [n, LEAST]."""
    levels = segments.astype(np.int32)
    sums, squares = levels.sum(axis=1), np.einsum("ij,ij->i", levels, levels)
    return np.asarray((LEAST * squares - sums * sums) / LEAST**2)


def _runs(rows: np.ndarray, left: np.ndarray) -> list[tuple[int, int, int]]:
    """Row, first and last column, exclusive, of the overlapping segments of a row; the longest first."""
    if not len(rows):
        return []
    apart = np.flatnonzero((np.diff(rows) != 0) | (np.diff(left) > LEAST)) + 1
    first, last = np.concatenate([[0], apart]), np.concatenate([apart - 1, [len(rows) - 1]])
    runs = [(int(rows[i]), int(left[i]), int(left[j]) + LEAST) for i, j in zip(first, last, strict=True)]
    return sorted(runs, key=lambda run: (run[1] - run[2], run))


def _line_at(image: np.ndarray, run: tuple[int, int, int], most: float, saturated: tuple[bool, bool]) -> Line | None:
    """Return the line that a run of even pixels belongs to, None where it is tissue."""
    row, start, end = run
    level, deviation = _level_and_deviation(image[row, start:end])
    deviation = max(1.0, deviation)
    if deviation > most:
        return None
    thickest = min(THICKEST, int((end - start) / SLENDER))

    # Tissue that is white or black is as even.
    clipped = (saturated[0] and level >= 255 - PALE_END) or (saturated[1] and level <= PALE_END)
    if clipped and not _may_jump(image, run, level, thickest):
        return None

    def count_alike(side: range) -> int:
        """Rows from the line's own one on that have its level."""
        for number, at in enumerate(side):
            middle, spread = _level_and_deviation(image[at, start:end])
            if abs(middle - level) > max(3.0, deviation) or spread > max(2.5, 1.6 * deviation):
                return number
        return len(side)

    first = row - count_alike(range(row - 1, max(-1, row - thickest - 1), -1))
    last = row + count_alike(range(row + 1, min(len(image), first + thickest + 1)))
    if last - first + 1 > thickest:
        return None
    sharp = jumps = True
    for beside in (first - 2, last + 2):
        if not 0 <= beside < len(image):
            if end - start < BORDER * image.shape[1]:
                return None
            continue
        pixels = image[beside, start:end].astype(np.float32)
        away = np.abs(pixels - level)
        # Most of a row beside a round shape is as even as the shape.
        rough = 1.4826 * median(np.abs(pixels - median(pixels))) >= ROUGH * deviation
        sharp = sharp and (rough or share(away > max(CLEAR, 3 * deviation)) >= ALL_ALONG)
        jumps = jumps and share(away > JUMP) >= ALL_CLIPPED
    if not sharp or (clipped and not jumps):
        return None
    return Line(slice(first, last + 1), _to_its_ends(image[first : last + 1], start, end, level, deviation), level)


def _may_jump(image: np.ndarray, run: tuple[int, int, int], level: float, thickest: int) -> bool:
    """Whether a row above and one below, within the thickness of a line, differ from a level nearly everywhere."""
    row, start, end = run
    top = max(0, row - thickest - 2)
    band = contiguous(image[top : row + thickest + 3, start:end])
    alike = cv2.inRange(band, math.ceil(level - JUMP), math.floor(level + JUMP))
    numbers = cv2.reduce(alike, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel() // 255
    jumps = (end - start - numbers) / (end - start) >= ALL_CLIPPED
    above = top > row - thickest - 2 or bool(jumps[: row - 1 - top].any())
    return above and (row + thickest + 2 >= len(image) or bool(jumps[row + 2 - top :].any()))


def _level_and_deviation(pixels: np.ndarray) -> tuple[float, float]:
    """Median and standard deviation of grey levels, uint8 [n]."""
    pixels = np.ascontiguousarray(pixels)
    return median(pixels), float(cv2.meanStdDev(pixels)[1].item())


def _to_its_ends(band: np.ndarray, start: int, end: int, level: float, deviation: float) -> slice:
    least, most = max(0, start - ENDS), min(band.shape[1], end + ENDS)
    near = np.abs(np.median(band[:, least:most], axis=0) - level) <= max(4.0, 3 * deviation)
    while start > least and near[start - 1 - least]:
        start -= 1
    while end < most and near[end - least]:
        end += 1
    return slice(start, end)
