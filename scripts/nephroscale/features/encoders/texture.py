"""A handcrafted filter bank: colour, lines, spots, granularity and oriented energy on a 7 x 7 grid; no weights.

It replaces a pretrained network where no weights are available. It measures what renal pathologists look for at the
scale of a 224-pixel image: dark spots of 6 to 16 pixels (deposits), thin dark or bright lines (basement membranes,
loops), granules, and blobs against rings (mesangial against capillary staining).
Every measure is invariant to rotation, since the orientation of tissue on a slide is arbitrary.

References
----------
Varma M, Zisserman A. A statistical approach to texture classification from single images. IJCV 62, 2005
(maximum response over orientations). Manjunath BS, Ma WY. Texture features for browsing and retrieval of image
data. IEEE PAMI 18, 1996 (Gabor energies). Lindeberg T. Feature detection with automatic scale selection. IJCV 30,
1998 (scale-normalised derivatives). Freeman WT, Adelson EH. The design and use of steerable filters. IEEE PAMI 13,
1991. Soille P. Morphological Image Analysis, 2003 (top-hats, granulometry). Bruna J, Mallat S. Invariant scattering
convolution networks. IEEE PAMI 35, 2013 (second-order channels).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from nephroscale.features.settings import EncoderSettings

GRID = 7  # cells per side: that of a Swin map of a 224-pixel image
SIGMAS = (1.0, 1.8, 3.2, 5.6, 9.0)  # px; a disc of diameter d responds most at d / (2 sqrt 2): d = 2.8 to 25 px
GABOR_LEVELS = 3  # octaves; wavelengths 6, 12 and 24 px
ORIENTATIONS = 6
TOP_HATS = (3, 7, 13, 21)  # diameters, px: structures narrower than this respond
CONTEXT_SIGMAS = (1.8, 3.2, 5.6)  # px; spots that are compared with their surroundings
SURROUND = 9.0  # px; sigma of those surroundings


def _channels() -> tuple[str, ...]:
    shapes = ("dark_line_{:g}", "bright_line_{:g}", "dark_spot_{:g}", "bright_spot_{:g}")
    peaks = ("dark_spot_{:g}_peak", "bright_spot_{:g}_peak")
    return (
        *(f"mean_{c}" for c in "rgb"),
        *(f"spread_{c}" for c in "rgb"),
        *("saturation", "darkest", "brightest"),
        *(name.format(sigma) for sigma in SIGMAS for name in (*shapes, *peaks)),
        *(f"gabor_{6 * 2**level}{end}" for level in range(GABOR_LEVELS) for end in ("", "_coherence")),
        *(f"{tone}_grain_{diameter}" for diameter in TOP_HATS for tone in ("dark", "bright")),
        *(f"spot_{sigma:g}_{where}" for sigma in CONTEXT_SIGMAS for where in ("at_edge", "in_dark", "at_line")),
    )


CHANNELS = _channels()


@cache
def _derivatives(sigma: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gaussian of width sigma and its first and second derivatives, times sigma and sigma squared."""
    radius = int(np.ceil(4 * sigma))
    x = np.arange(-radius, radius + 1, dtype=np.float64)
    g = np.exp(-(x**2) / (2 * sigma**2))
    g /= g.sum()
    first = -x / sigma * g
    second = (x**2 / sigma**2 - 1) * g
    second -= second.mean()  # a sampled kernel has a small sum; a flat image has to give nothing
    return g.astype(np.float32), first.astype(np.float32), second.astype(np.float32)


@cache
def _gabors() -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Even and odd filters of wavelength 6 px for each orientation, without response to a flat image."""
    pairs = []
    y, x = np.mgrid[-8:9, -8:9].astype(np.float64)
    envelope = np.exp(-(x**2 + y**2) / (2 * 3.0**2))
    for k in range(ORIENTATIONS):
        angle = np.pi * k / ORIENTATIONS
        phase = 2 * np.pi / 6.0 * (x * np.cos(angle) + y * np.sin(angle))
        even, odd = envelope * np.cos(phase), envelope * np.sin(phase)
        even -= envelope * (even.sum() / envelope.sum())
        norm = envelope.sum() / 2
        pairs.append(((even / norm).astype(np.float32), (odd / norm).astype(np.float32)))
    return tuple(pairs)


def _filter(image: np.ndarray, along_x: np.ndarray, along_y: np.ndarray) -> np.ndarray:
    return cv2.sepFilter2D(image, cv2.CV_32F, along_x, along_y, borderType=cv2.BORDER_REFLECT_101)


def _pool(values: np.ndarray) -> np.ndarray:
    """Mean over each cell of the grid."""
    return cv2.resize(values, (GRID, GRID), interpolation=cv2.INTER_AREA)


def _peak(values: np.ndarray) -> np.ndarray:
    """Generalised mean of power 4 over each cell: near the maximum, so that one spot in a cell counts."""
    return np.asarray(np.sqrt(np.sqrt(_pool(values * values * values * values))))


def _colour(rgb: np.ndarray, grey: np.ndarray) -> list[np.ndarray]:
    mean = _pool(rgb)
    spread = np.sqrt(np.maximum(_pool(rgb * rgb) - mean * mean, 0))
    saturation = _pool(rgb.max(axis=2) - rgb.min(axis=2))
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.0)
    return [*np.moveaxis(mean, 2, 0), *np.moveaxis(spread, 2, 0), saturation, _peak(1 - smooth), _peak(smooth)]


def _lines_and_spots(grey: np.ndarray) -> tuple[list[np.ndarray], dict[float, tuple[np.ndarray, np.ndarray]]]:
    """Separate lines (one large principal curvature) from spots (two), by sign and size of the curvatures."""
    pooled: list[np.ndarray] = []
    maps: dict[float, tuple[np.ndarray, np.ndarray]] = {}
    for sigma in SIGMAS:
        g, first, second = _derivatives(sigma)
        xx, yy, xy = _filter(grey, second, g), _filter(grey, g, second), _filter(grey, first, first)
        middle, half = (xx + yy) / 2, np.sqrt(((xx - yy) / 2) ** 2 + xy * xy)
        low, high = middle - half, middle + half
        dark_spot, bright_spot = np.maximum(low, 0), np.maximum(-high, 0)
        dark_line, bright_line = np.maximum(high - np.abs(low), 0), np.maximum(-low - np.abs(high), 0)
        pooled += [*map(_pool, (dark_line, bright_line, dark_spot, bright_spot)), _peak(dark_spot), _peak(bright_spot)]
        maps[sigma] = dark_spot, dark_line
    return pooled, maps


def _oriented_energy(grey: np.ndarray) -> list[np.ndarray]:
    """Mean Gabor energy over orientations, and its concentration on one orientation, per octave."""
    pooled, level = [], grey
    for _ in range(GABOR_LEVELS):
        total = np.zeros_like(level)
        cosine, sine = np.zeros_like(level), np.zeros_like(level)
        for k, (even, odd) in enumerate(_gabors()):
            e = cv2.filter2D(level, cv2.CV_32F, even, borderType=cv2.BORDER_REFLECT_101)
            o = cv2.filter2D(level, cv2.CV_32F, odd, borderType=cv2.BORDER_REFLECT_101)
            energy = np.sqrt(e * e + o * o)
            total += energy
            cosine += energy * np.float32(np.cos(2 * np.pi * k / ORIENTATIONS))
            sine += energy * np.float32(np.sin(2 * np.pi * k / ORIENTATIONS))
        pooled += [_pool(total / ORIENTATIONS), _pool(np.sqrt(cosine**2 + sine**2) / ORIENTATIONS)]
        level = cv2.pyrDown(level, borderType=cv2.BORDER_REFLECT_101)
    return pooled


def _grains(grey: np.ndarray) -> list[np.ndarray]:
    pooled = []
    for diameter in TOP_HATS:
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
        closed, opened = (cv2.morphologyEx(grey, kind, disc) for kind in (cv2.MORPH_CLOSE, cv2.MORPH_OPEN))
        pooled += [_pool(closed - grey), _pool(grey - opened)]
    return pooled


def _context(grey: np.ndarray, maps: Mapping[float, tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    """Dark spots by their surroundings: the rim of a bright structure, a dark structure, a line.

    A linear head over pooled maps cannot see which structures are adjacent, so maps are multiplied before pooling.
    """
    g, first, _ = _derivatives(SURROUND)
    edge = 4 * np.sqrt(_filter(grey, first, g) ** 2 + _filter(grey, g, first) ** 2)
    darkness = 1 - _filter(grey, g, g)
    line = 8 * _filter(maps[SIGMAS[1]][1], _derivatives(4.0)[0], _derivatives(4.0)[0])
    return [_pool(maps[sigma][0] * around) for sigma in CONTEXT_SIGMAS for around in (edge, darkness, line)]


def measure(image: np.ndarray) -> np.ndarray:
    """Measure one image, before scaling.

    Parameters
    ----------
    image
        [S, S, 3] uint8 RGB.

    Returns
    -------
    numpy.ndarray
        [7, 7, C] float32 in the order of :data:`CHANNELS`; energies are in grey levels of range 0 to 1.
    """
    rgb = image.astype(np.float32) / np.float32(255)
    grey = np.ascontiguousarray(rgb.mean(axis=2, dtype=np.float32))
    pooled, maps = _lines_and_spots(grey)
    channels = _colour(rgb, grey) + pooled + _oriented_energy(grey) + _grains(grey) + _context(grey, maps)
    return np.stack(channels, axis=2).astype(np.float32)


# Offset and scale by kind of channel: typical values of renal light and electron micrographs, to one or two digits.
# Constants of this module, not fitted to any cohort.
_SCALING = {
    "mean": (0.5, 0.25),
    "spread": (0.12, 0.06),
    "saturation": (0.1, 0.12),
    "darkest": (0.55, 0.2),
    "brightest": (0.55, 0.2),
    "line": (0.014, 0.009),
    "spot": (0.0028, 0.002),
    "peak": (0.014, 0.009),
    "gabor": (0.025, 0.013),
    "coherence": (0.007, 0.004),
    "grain_3": (0.015, 0.009),
    "grain_7": (0.06, 0.035),
    "grain_13": (0.11, 0.06),
    "grain_21": (0.16, 0.08),
    "at_edge": (0.0005, 0.0006),
    "in_dark": (0.0013, 0.001),
    "at_line": (0.00045, 0.00045),
}


def _kind(channel: str) -> str:
    if found := next(filter(channel.endswith, ("peak", "coherence", "at_edge", "in_dark", "at_line")), ""):
        return found
    if "_grain_" in channel:
        return channel.partition("_")[2]
    words = channel.split("_")
    return words[1] if words[0] in ("dark", "bright") else words[0]


LIMIT = np.float32(8)  # no value is beyond it; small ones stay as they are
OFFSET = np.array([_SCALING[_kind(c)][0] for c in CHANNELS], np.float32)
SCALE = np.array([_SCALING[_kind(c)][1] for c in CHANNELS], np.float32)


@dataclass(frozen=True)
class Texture:
    """The filter bank as an encoder.

    Parameters
    ----------
    size_px
        Side of the images, pixels; the filters are in pixels too and are made for 224.
    """

    size_px: int
    name: str = "texture"

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Encode [n, S, S, 3] uint8 to [n, 7, 7, C] float32, each channel roughly of unit range around 0."""
        # Energies have long tails. The limit prevents a single dark spot from dominating the map.
        maps = [LIMIT * np.tanh((measure(image) - OFFSET) / SCALE / LIMIT) for image in images]
        return np.stack(maps) if maps else np.zeros((0, GRID, GRID, len(CHANNELS)), np.float32)


def create(settings: EncoderSettings, device: str) -> Texture:  # noqa: ARG001  (every encoder is created this way)
    """Create the encoder from its settings."""
    return Texture(size_px=settings.size_px)
