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
FEW_ROWS = 8  # that show whether a picture has grey levels


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
    without the lowest and the highest value: a burned-in bar has one of them, far from the levels of the camera.

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
    if not _has_three_levels(grey[:: max(1, len(grey) // FEW_ROWS)]):  # the rest need not be looked at
        _refuse_few_levels(grey)
    if grey.dtype == np.uint8:
        return DecodedMicrograph(grey, drawn)
    levels: np.ndarray = np.rint(grey if pixels.dtype == np.uint8 else _stretch(grey, drawn))
    return DecodedMicrograph(levels.astype(np.uint8), drawn)


def _refuse_wrapped(pixels: np.ndarray) -> None:
    """Reject signed values that are stored as unsigned: black and white are then adjacent.

    Exchanged back, the levels of neighbouring pixels differ by less than half as much.
    """
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim != 2:
        return
    rows = pixels[:: max(1, len(pixels) // WRAPPED_ROWS)]
    top = int(np.iinfo(rows.dtype).max)
    half = rows.dtype.type(top // 2 + 1)
    ends = float(((rows == 0) | (rows == top)).mean())
    mean = [float(np.abs(np.diff(one.astype(np.float32), axis=1)).mean()) for one in (rows, rows ^ half)]
    if ends < MOST_ENDS and mean[1] < mean[0] / 2:
        raise Rejected(
            "its darkest and brightest pixels are neighbours, as where signed numbers were stored as unsigned; save it "
            "in unsigned numbers"
        )


def _has_three_levels(grey: np.ndarray) -> bool:
    return grey.dtype == np.uint8 and cv2.countNonZero(cv2.calcHist([grey], [0], None, [256], [0, 256])) > 2


def _refuse_few_levels(grey: np.ndarray) -> None:
    if grey.min() == grey.max():
        raise Rejected("image has only one grey level")
    if grey.dtype == np.uint8 and not _has_three_levels(grey):
        raise Rejected("image is black and white, without grey levels; save it in grey, with 8 or 16 bits")


def _stretch(grey: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Stretch the levels of a camera to 0 to 255, past the values of marks in white, black or colour."""
    seen = grey[~drawn]
    inner = seen[(seen > seen.min()) & (seen < seen.max())]
    low, high = np.percentile(inner if inner.size > seen.size // 2 else seen, [0.5, 99.5])
    if high <= low:
        low, high = float(seen.min()), float(seen.max())
    return np.asarray(np.clip((grey - low) / (high - low), 0, 1) * 255)
