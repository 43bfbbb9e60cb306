"""Fluorescence: background subtraction and intensity calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

from nephroscale.slides.dye import full_scale

if TYPE_CHECKING:
    from nephroscale.cohort.image import ImageRow

# Counts are scaled to an exposure of 100 ms at gain 1, with a full scale of 65535.
REFERENCE_EXPOSURE_MS = 100.0
# If exposure is unknown, the 99.9th percentile of the tissue is scaled to this level, so that little is clipped. A mean
# round this percentile is less coarse than one of 256 counts.
PATTERN_TOP = 60000.0
TOP_SHARES = (0.9982, 0.9998)
SATURATED = 0.98  # of the full scale of the camera; JPEG lowers it a little
MOST_STORED = 65535
LEAST_TOP = 128  # counts, below which many pixels have the highest value because there are few values
BACKGROUND = "background"  # array and folder of tiles that keep no pixels


def estimate_background(
    grey: np.ndarray, mpp: float | None, background_um: float, valid: np.ndarray | None = None
) -> np.ndarray:
    """Estimate the background of a fluorescence image.

    Morphological opening by a disc of radius `background_um` (which removes narrower structures such as glomeruli and
    vessels), then smoothing.

    Parameters
    ----------
    grey
        [h, w], the image at a coarse scale.
    mpp
        µm per pixel; if None, the 2nd percentile is the background of the whole image.
    background_um
        Length scale of the background, µm.
    valid
        bool [h, w], pixels that the file has, of which one at least; None for all. Others count as the nearest of them.

    Returns
    -------
    ndarray
        float32 [h, w].

    References
    ----------
    Sternberg, Biomedical image processing, IEEE Computer 16:22 (1983): the rolling ball, here a flat disc.
    """
    valid = np.ones(grey.shape, bool) if valid is None else valid
    radius = None if mpp is None else max(1, round(background_um / mpp))
    if radius is None or 2 * radius + 1 >= min(grey.shape):
        return np.full(grey.shape, np.percentile(grey[valid], 2), np.float32)
    if not valid.all():
        grey = grey[tuple(distance_transform_edt(~valid, return_distances=False, return_indices=True))]
    # The opening follows the darkest pixel in the disc, so noise is smoothed first.
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)
    # Large discs are slow; a smaller image with a disc of about eight pixels gives the same.
    shrink = max(1, radius // 8)
    small = cv2.resize(smooth, (-(-grey.shape[1] // shrink), -(-grey.shape[0] // shrink)), interpolation=cv2.INTER_AREA)
    side = 2 * max(1, radius // shrink) + 1
    opened = cv2.morphologyEx(small, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    opened = cv2.GaussianBlur(opened, (0, 0), side / 4)
    return cv2.resize(opened, (grey.shape[1], grey.shape[0]), interpolation=cv2.INTER_LINEAR)


class IntensityScale:
    """Converts raw counts to 16 bits: subtracts the background, then scales.

    Parameters
    ----------
    background
        float32 [h, w], at a coarse scale, in raw counts.
    ratio
        Pixels of the tiles' level 0 per pixel of `background`.
    factor
        Output per raw count.
    """

    def __init__(self, background: np.ndarray, ratio: float, factor: float) -> None:
        self.background, self.ratio, self.factor = background, ratio, factor

    def subtract(self, pixels: np.ndarray, x: int, y: int) -> np.ndarray:
        """Subtract the background from a region [h, w] at x, y in pixels of level 0; gives float32, at least 0."""
        height, width = pixels.shape
        high, wide = self.background.shape
        # OpenCV rounds positions to 1/32 of a pixel. Rounding them first makes them equal for all regions.
        across = np.clip(np.round(((np.arange(x, x + width) + 0.5) / self.ratio - 0.5) * 32) / 32, 0, wide - 1)
        along = np.clip(np.round(((np.arange(y, y + height) + 0.5) / self.ratio - 0.5) * 32) / 32, 0, high - 1)
        x0, y0 = int(across[0]), int(along[0])
        part = np.ascontiguousarray(self.background[y0 : int(along[-1]) + 2, x0 : int(across[-1]) + 2])
        maps = np.meshgrid((across - x0).astype(np.float32), (along - y0).astype(np.float32))
        below = cv2.remap(part, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(np.maximum(pixels.astype(np.float32) - below, 0))

    def __call__(self, pixels: np.ndarray, x: int, y: int) -> np.ndarray:
        """Subtract the background and scale; gives uint16 [h, w]."""
        return np.rint(np.minimum(self.subtract(pixels, x, y) * self.factor, 65535)).astype(np.uint16)

    def plane(self, pixels: np.ndarray, valid: np.ndarray, x: int, y: int) -> np.ndarray:
        """Convert a tile, [h, w, 1] with the mask [h, w] of pixels that the file has; gives uint16 [1, h, w]."""
        stored = self(pixels[..., 0], x, y)
        stored[~valid] = 0
        return stored[None]


class Calibration(NamedTuple):
    """How counts are scaled.

    Attributes
    ----------
    kind
        `calibrated` (exposure and gain are known) or `pattern-only` (contrast within the image).
    factor
        Output, of 65535, per raw count.
    """

    kind: str
    factor: float


def calibrate_intensity(
    sample: np.ndarray, dtype: np.dtype, row: ImageRow, stated_ms: float | None = None
) -> Calibration:
    """Choose the factor by which counts are scaled.

    Parameters
    ----------
    sample
        Raw counts of tissue after background subtraction, any shape.
    dtype
        uint8 or uint16, of the raw file, which gives the full scale.
    row
        Table row of the image; `exposure_ms` and `gain` are used where both are known.
    stated_ms
        Exposure that the file states, used where the table gives none.
    """
    if (exposure_ms := row.exposure_ms or stated_ms) and row.gain:
        full = 65535.0 / float(np.iinfo(dtype).max)
        return Calibration("calibrated", full * REFERENCE_EXPOSURE_MS / (float(exposure_ms) * float(row.gain)))
    top = _mean_between(sample.ravel(), *TOP_SHARES) if sample.size else 0.0
    return Calibration("pattern-only", round(PATTERN_TOP / top, 9) if top > 0 else 1.0)


def saturated_share(counts: np.ndarray, calibrated: np.ndarray) -> float:
    """Give the share of pixels at the full scale of the camera, at the highest value, or beyond what is stored.

    Parameters
    ----------
    counts
        Raw counts, any shape. Programs that correct or stretch a picture move its full scale; the highest value is then
        the one that many pixels have.
    calibrated
        The same above the background and scaled; beyond 65535 they are cut off, as with an exposure in another unit.
    """
    if not counts.size:
        return 0.0
    top = float(counts.max())
    at_full_scale = float((counts >= SATURATED * full_scale(counts)).mean())
    at_top = float((counts == top).mean()) if top >= LEAST_TOP else 0.0
    return max(at_full_scale, at_top, float((calibrated > MOST_STORED).mean()))


def _mean_between(sample: np.ndarray, low: float, high: float) -> float:
    """Mean of the values between two ranks, which are given as shares of all."""
    first = int(low * (sample.size - 1))
    last = max(first, int(high * (sample.size - 1)))
    return float(np.partition(sample, (first, last))[first : last + 1].mean(dtype=np.float64))
