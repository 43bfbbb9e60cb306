"""Fluorescence: the marker's channel, background subtraction and intensity calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from nephroscale.errors import Rejected

if TYPE_CHECKING:
    from nephroscale.cohort.image import ImageRow

# Counts are scaled to an exposure of 100 ms at gain 1, with a full scale of 65535.
REFERENCE_EXPOSURE_MS = 100.0
# If exposure is unknown, the 99.9th percentile of the tissue is scaled to this level, so that little is clipped.
PATTERN_TOP = 60000.0


def choose_channel(overview: np.ndarray, *, rgb: bool, names: tuple[str, ...] = (), marker: str = "") -> int:
    """Choose the channel of the marker.

    A grey image has one channel. A pseudo-coloured RGB image shows one grey channel in a colour: the colour channel
    with the largest range has the least rounding (a maximum over channels would add up their noise). Of several grey
    channels, the one whose name contains the marker is used.

    Parameters
    ----------
    overview
        [h, w, c], the image at a coarse scale.
    rgb
        Whether the channels are red, green and blue.
    names
        Names of grey channels.
    marker
        Marker in the table of images.

    Raises
    ------
    Rejected
        When not exactly one of several grey channels is named after the marker.
    """
    channels = overview.shape[-1]
    if channels == 1:
        return 0
    if rgb:
        flat = overview.reshape(-1, channels).astype(np.float64)
        spread = np.percentile(flat, 99.5, axis=0) - np.percentile(flat, 5, axis=0)
        return int(np.argmax(np.round(spread + flat.mean(0) * 1e-3, 6)))
    fitting = [n for n, name in enumerate(names) if marker and marker.lower() in name.lower()]
    if len(fitting) != 1:
        raise Rejected(
            f"it has {channels} channels, and not exactly one is named after the marker; save only that channel"
        )
    return fitting[0]


def estimate_background(grey: np.ndarray, mpp: float | None, background_um: float) -> np.ndarray:
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

    Returns
    -------
    ndarray
        float32 [h, w].

    References
    ----------
    Sternberg, Biomedical image processing, IEEE Computer 16:22 (1983): the rolling ball, here a flat disc.
    """
    if mpp is None:
        return np.full(grey.shape, np.percentile(grey, 2), np.float32)
    radius = max(1, round(background_um / mpp))
    if 2 * radius + 1 >= min(grey.shape):
        return np.full(grey.shape, np.percentile(grey, 2), np.float32)
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
        above: np.ndarray = np.maximum(pixels.astype(np.float32) - below, 0)
        return above

    def __call__(self, pixels: np.ndarray, x: int, y: int) -> np.ndarray:
        """Subtract the background and scale; gives uint16 [h, w]."""
        return np.rint(np.minimum(self.subtract(pixels, x, y) * self.factor, 65535)).astype(np.uint16)


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


def calibrate_intensity(sample: np.ndarray, dtype: np.dtype, row: ImageRow) -> Calibration:
    """Choose the factor by which counts are scaled.

    Parameters
    ----------
    sample
        Raw counts of tissue after background subtraction, any shape.
    dtype
        uint8 or uint16, of the raw file, which gives the full scale.
    row
        Table row of the image; `exposure_ms` and `gain` are used where both are given.
    """
    if row.exposure_ms and row.gain:
        full = 65535.0 / float(np.iinfo(dtype).max)
        return Calibration("calibrated", full * REFERENCE_EXPOSURE_MS / (float(row.exposure_ms) * float(row.gain)))
    top = float(np.percentile(sample, 99.9)) if sample.size else 0.0
    return Calibration("pattern-only", round(PATTERN_TOP / top, 9) if top > 0 else 1.0)
