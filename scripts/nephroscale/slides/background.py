"""Fluorescence: one channel, its background taken away, its intensity made comparable where exposure is known."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from nephroscale.errors import Rejected

# Counts are brought to what an exposure of 100 ms at gain 1 would have given, full scale being 65535.
REFERENCE_EXPOSURE_MS = 100.0
# Without exposure the brightest 0.1 % of the tissue comes to this, so that little is cut off.
PATTERN_TOP = 60000.0


def choose_channel(overview: np.ndarray, *, rgb: bool, names: tuple[str, ...] = (), marker: str = "") -> int:
    """Find the channel that carries the marker.

    A grey picture has one. A pseudo-coloured RGB picture shows one grey channel through a colour: the colour channel
    of the largest range holds it with the least rounding (a maximum over the channels would collect the noise of all).
    Of several grey channels the one whose name holds the marker's is taken.

    Parameters
    ----------
    overview
        [h, w, c], the picture at a coarse scale.
    rgb
        Whether the channels are red, green and blue.
    names
        Names of grey channels.
    marker
        The marker that the table gives.

    Raises
    ------
    Rejected
        When several grey channels are there and none is named like the marker.
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
            f"it holds {channels} channels and not one of them is named like the marker; save that one alone"
        )
    return fitting[0]


def estimate_background(grey: np.ndarray, mpp: float | None, background_um: float) -> np.ndarray:
    """Estimate the background of a fluorescence picture.

    A morphological opening by a disc with `background_um` as its radius (which leaves nothing of what is narrower:
    glomeruli, vessels), smoothed at half that length.

    Parameters
    ----------
    grey
        [h, w], the picture at a coarse scale.
    mpp
        µm per pixel of it; None where unknown, when one level, the 2nd percentile, serves for the whole picture.
    background_um
        Length over which the background varies, µm.

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
    # The opening follows the darkest pixel of the disc, so noise is smoothed away first.
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)
    # Large discs are slow: a shrunken picture with a disc of about eight pixels does as well.
    shrink = max(1, radius // 8)
    small = cv2.resize(smooth, (-(-grey.shape[1] // shrink), -(-grey.shape[0] // shrink)), interpolation=cv2.INTER_AREA)
    side = 2 * max(1, radius // shrink) + 1
    opened = cv2.morphologyEx(small, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    opened = cv2.GaussianBlur(opened, (0, 0), side / 4)
    return cv2.resize(opened, (grey.shape[1], grey.shape[0]), interpolation=cv2.INTER_LINEAR)


class IntensityScale:
    """Turns raw counts into 16 bits: background off, then scaled.

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
        """Take the background from a region [h, w] whose corner is at x, y in pixels of level 0; float32, from 0 up."""
        height, width = pixels.shape
        high, wide = self.background.shape
        # OpenCV rounds positions to 1/32 of a pixel: rounded here first, they are the same from whichever corner.
        across = np.clip(np.round(((np.arange(x, x + width) + 0.5) / self.ratio - 0.5) * 32) / 32, 0, wide - 1)
        along = np.clip(np.round(((np.arange(y, y + height) + 0.5) / self.ratio - 0.5) * 32) / 32, 0, high - 1)
        x0, y0 = int(across[0]), int(along[0])
        part = np.ascontiguousarray(self.background[y0 : int(along[-1]) + 2, x0 : int(across[-1]) + 2])
        maps = np.meshgrid((across - x0).astype(np.float32), (along - y0).astype(np.float32))
        below = cv2.remap(part, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.maximum(pixels.astype(np.float32) - below, 0)

    def __call__(self, pixels: np.ndarray, x: int, y: int) -> np.ndarray:
        """Background off and scaled: uint16 [h, w]."""
        return np.rint(np.minimum(self.subtract(pixels, x, y) * self.factor, 65535)).astype(np.uint16)


def intensity_factor(sample: np.ndarray, dtype: np.dtype, row: dict[str, Any]) -> tuple[str, float]:
    """Decide how counts are scaled.

    Parameters
    ----------
    sample
        Raw counts of tissue, background taken off, any shape.
    dtype
        uint8 or uint16, of the raw file: full scale.
    row
        The image's row; `exposure_ms` and `gain` count where both are given.

    Returns
    -------
    tuple of (str, float)
        `calibrated` or `pattern-only`, and output (of 65535) per count.
    """
    exposure, gain = row.get("exposure_ms"), row.get("gain")
    if exposure and gain:
        full = 65535.0 / float(np.iinfo(dtype).max)
        return "calibrated", full * REFERENCE_EXPOSURE_MS / (float(exposure) * float(gain))
    top = float(np.percentile(sample, 99.9)) if sample.size else 0.0
    return "pattern-only", round(PATTERN_TOP / top, 9) if top > 0 else 1.0
