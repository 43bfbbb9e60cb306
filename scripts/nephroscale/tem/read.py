"""Read one TEM image as 8-bit grey, with the pixels that were drawn on it in colour."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from nephroscale.errors import Rejected
from nephroscale.slides.samples import read_samples
from nephroscale.slides.tint import separate_tint

WRAPPED_ROWS = 64  # that show whether levels are wrapped
MOST_ENDS = 0.2  # share of black and white pixels; more are those of a binary picture
SAMPLED = 1_000_000  # pixels in which values of marks are looked for
MARK_SHARE = 0.002  # of the pixels have the value of a mark
STANDS_OUT = 8.0  # times as many pixels as with the neighbouring values
NEIGHBOURS = 4  # values on either side
MARK_REACH = 7  # side of the square round a mark's pixel in which its smoothing lies
FEW_ROWS = 8  # that show whether a picture has grey levels
FEW_LEVELS = 16  # of 4 bits, in which noise of tissue looks like even marks


@dataclass(frozen=True)
class DecodedMicrograph:
    """A TEM image as read.

    Parameters
    ----------
    grey
        uint8 [h, w].
    drawn
        bool [h, w], pixels in another colour than the rest: marks.
    """

    grey: np.ndarray
    drawn: np.ndarray


def read_tem(path: Path, page: int | None = None) -> DecodedMicrograph:
    """Read a TEM image as grey levels.

    Colour is converted to luma (Rec. 601). More than 8 bits are stretched from the 0.5th to the 99.5th percentile,
    without the lowest and the highest value: a burned-in bar has one of them, far from the levels of the camera. Marks
    of other values, and the smoothed edges of text, are left out too where they would take more than half of the range.

    Parameters
    ----------
    path
        A picture that :func:`nephroscale.slides.samples.read_samples` reads.
    page
        Which page of it, from 1, where it has several.

    Raises
    ------
    Rejected
        When it cannot be read, is false-coloured, or has only one value.
    """
    pixels = read_samples(path, page)
    if min(pixels.shape[:2]) < 8:
        raise Rejected(f"image has the shape {'x'.join(map(str, pixels.shape))}, which is not a picture")
    _refuse_wrapped(pixels)
    if pixels.ndim == 3:
        tinted = separate_tint(pixels)
        grey, drawn = tinted.luma, tinted.drawn
    else:
        grey = pixels if pixels.dtype == np.uint8 else pixels.astype(np.float32)
        drawn = np.zeros(pixels.shape, bool)
    if not _has_enough_levels(grey[:: max(1, len(grey) // FEW_ROWS)]):  # the rest need not be looked at
        _refuse_few_levels(grey)
    if grey.dtype == np.uint8:
        return DecodedMicrograph(grey, drawn)
    levels: np.ndarray = np.rint(grey if pixels.dtype == np.uint8 else _stretch(grey, drawn))
    return DecodedMicrograph(levels.astype(np.uint8), drawn)


def _refuse_wrapped(pixels: np.ndarray) -> None:
    """Reject signed values that are stored as unsigned, and the other way round: black and white are then adjacent.

    Exchanged back, the levels of neighbouring pixels differ by less than half as much. White text on black does so,
    too, but only in some rows or columns, while half of the rows and of the columns have to.
    """
    if pixels.dtype not in (np.uint8, np.uint16, np.int8, np.int16) or pixels.ndim != 2:
        return
    if all(_are_wrapped(lines[:: max(1, len(lines) // WRAPPED_ROWS)]) for lines in (pixels, pixels.T)):
        kinds = ("signed", "unsigned") if pixels.dtype.kind == "u" else ("unsigned", "signed")
        raise Rejected(
            "its darkest and brightest pixels are neighbours, as where {} numbers were stored as {}; save it in "
            "unsigned numbers".format(*kinds)
        )


def _are_wrapped(rows: np.ndarray) -> bool:
    """Whether neighbours in most of the rows differ less once the halves of the range are exchanged."""
    if rows.dtype.kind == "i":  # the same order without a sign
        unsigned = np.ascontiguousarray(rows).view(f"{rows.dtype.byteorder}u{rows.itemsize}")
        rows = unsigned ^ unsigned.dtype.type(np.iinfo(unsigned.dtype).max // 2 + 1)
    top = int(np.iinfo(rows.dtype).max)
    half = rows.dtype.type(top // 2 + 1)
    ends = float(np.median(((rows == 0) | (rows == top)).mean(axis=1)))
    stored, exchanged = (
        float(np.median(np.abs(np.diff(one.astype(np.float32), axis=1)).mean(axis=1))) for one in (rows, rows ^ half)
    )
    return ends < MOST_ENDS and exchanged < stored / 2


def _has_enough_levels(grey: np.ndarray) -> bool:
    return grey.dtype == np.uint8 and cv2.countNonZero(cv2.calcHist([grey], [0], None, [256], [0, 256])) > FEW_LEVELS


def _refuse_few_levels(grey: np.ndarray) -> None:
    levels = len(np.unique(grey))
    if levels == 1:
        raise Rejected("image has only one grey level")
    if levels <= 2 and grey.dtype == np.uint8:
        raise Rejected("image is black and white, without grey levels; save it in grey, with 8 or 16 bits")
    if levels <= FEW_LEVELS:
        raise Rejected(f"image has only {levels} grey levels; save it with all its levels, in 8 or 16 bits")


def _stretch(grey: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Stretch the levels of a camera to 0 to 255, past the values of marks."""
    low, high = _range_of(grey[~drawn])
    marks = _near_marks(grey) | drawn
    if 0 < np.count_nonzero(marks) <= marks.size // 2:
        narrow = _range_of(grey[~marks])
        low, high = narrow if 0 < narrow[1] - narrow[0] < (high - low) / 2 else (low, high)
    return np.asarray(np.clip((grey - low) / (high - low), 0, 1) * 255)


def _range_of(seen: np.ndarray) -> tuple[float, float]:
    """Percentiles of levels, past the lowest and the highest, unless most have one of them."""
    lowest, highest = float(seen.min()), float(seen.max())
    inner = seen[(seen > lowest) & (seen < highest)]
    low, high = np.percentile(inner if inner.size > seen.size // 2 else seen, [0.5, 99.5])
    return (low, high) if high > low else (lowest, highest)


def _near_marks(grey: np.ndarray) -> np.ndarray:
    """Pixels in and beside those of a value that far more pixels have than the values next to it: bool [h, w]."""
    values, counts = np.unique(grey.ravel()[:: max(1, grey.size // SAMPLED)], return_counts=True)
    padded = np.pad(counts, NEIGHBOURS)
    around = [padded[at : at + len(counts)] for at in range(2 * NEIGHBOURS + 1) if at != NEIGHBOURS]
    usual = np.median(around, axis=0)
    often = (counts >= MARK_SHARE * counts.sum()) & (counts >= STANDS_OUT * np.maximum(usual, 1))
    marks = np.zeros(grey.shape, np.uint8)
    for value in values[often]:
        marks |= grey == value
    return np.asarray(cv2.dilate(marks, np.ones((MARK_REACH, MARK_REACH), np.uint8)) > 0)
