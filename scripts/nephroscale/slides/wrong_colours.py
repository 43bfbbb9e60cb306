"""Brightfield pictures whose colours cannot be those of their stain: negatives, and red exchanged for blue.

Glass is bright and neutral, and dyes take light away, so the brightest pixels of a picture have the least colour. In a
negative they have the most. Haematoxylin, eosin and Schiff's reagent take away green, so that green is never the
strongest of the three colours; in a negative it is. Haematoxylin takes away more red than blue, so that nuclei, the
densest structures, are bluer than the rest; where red and blue are exchanged, they are redder.

In Masson, what is red has lost more green than blue, by more than what is blue has lost more green than red. Where red
and blue are exchanged, it is the other way round. With a light green there is too little blue to tell.

Masson and silver stains may have a light green, and black structures; of silver neither a negative is recognised, nor
that red and blue are exchanged.
"""

from __future__ import annotations

import numpy as np

SAMPLE = 50_000  # pixels
LEAST = 500  # stained pixels that suffice
ENDS = 0.02  # share of the pixels that are the brightest, or the darkest
COLOURED = 12.0  # levels between the colours of the brightest pixels of a negative, at least
NEUTRAL = 0.5  # of this, what the darkest pixels have at most
STRONGER, TINTED = 6.0, 15.0  # levels by which green is the strongest colour; between the colours of a pixel with hue
LEAST_TINTED, MOSTLY_GREEN = 0.05, 0.4  # shares: of pixels with hue, and of these of green ones
STAINED = 0.45  # sum of the optical densities
DENSE, PALE = 85, 60  # percentiles of density
REDDER, BLUEST = 0.025, 0.25  # shares of density; a picture that is bluer than the latter has another stain
# Of Masson: difference of the shares from which on a pixel is red or blue; pixels of each, and share; the limit.
LEADING, LEAST_HUE, LEAST_SHARE, MASSON_EXCHANGED = 0.08, 200, 0.05, -0.09
CAST_LEVELS = 80.0  # levels between the colours of the brightest pixels; in real fields at most 24
NO_GREEN = ("HE", "PAS")
CAST = "its brightest pixels are strongly coloured and no glass, as where YCbCr or CIELab was read as RGB"
NEGATIVE = "its colours are inverted, as in a photographic negative; save it as it was photographed"
EXCHANGED = (
    "its densest structures are redder than the rest, as where red and blue are exchanged (BGR for RGB) or the stain "
    "in the table is another"
)
MASSON = (
    "its red has lost blue rather than green, and its blue green rather than red, as where red and blue are exchanged "
    "(BGR for RGB) or the stain in the table is another; compare it with the section"
)


def negative_fault(rgb: np.ndarray, stain: str) -> str:
    """Say that a picture is certainly a negative; empty for others, and for stains with green.

    Parameters
    ----------
    rgb
        uint8 [n, 3], pixels.
    stain
        Its name.
    """
    return NEGATIVE if stain in NO_GREEN and _is_inverted(rgb) else ""


def colour_order_doubt(rgb: np.ndarray, stain: str) -> str:
    """Say that a picture may be a negative, have red and blue exchanged, or be no RGB; empty where nothing hints at it.

    Parameters
    ----------
    rgb, stain
        As above.
    """
    if _has_coloured_glass(rgb):
        return CAST
    if stain == "Masson" and _is_inverted(rgb):
        return "its colours look inverted, as in a photographic negative"
    if stain == "Masson":
        return MASSON if masson_order(rgb) < MASSON_EXCHANGED else ""
    return EXCHANGED if stain in NO_GREEN and _is_exchanged(rgb, stain) else ""


def masson_order(rgb: np.ndarray) -> float:
    """By how much red pixels of Masson have lost more green than blue, plus by how much blue ones more red than green.

    Medians of shares of the optical density: about 0.13 in two real fields, and the same with the other sign where red
    and blue are exchanged; 0 where there is too little red or blue.
    """
    density, total = _stained(rgb)
    share = density / np.maximum(total, 1e-3)[:, None]
    hue = share[:, 0] - share[:, 2]
    red, blue = hue < -LEADING, hue > LEADING
    if min(red.sum(), blue.sum()) < max(LEAST_HUE, LEAST_SHARE * len(hue)):
        return 0.0
    return float(np.median((share[:, 1] - share[:, 2])[red]) + np.median((share[:, 0] - share[:, 1])[blue]))


def _has_coloured_glass(rgb: np.ndarray) -> bool:
    pixels = _some(rgb)
    if len(pixels) < LEAST:
        return False
    brightest = pixels[np.argsort(pixels.sum(axis=1), kind="stable")[-max(1, int(ENDS * len(pixels))) :]]
    return float(np.median(np.ptp(brightest, axis=1))) >= CAST_LEVELS


def _some(rgb: np.ndarray) -> np.ndarray:
    return rgb[:: max(1, len(rgb) // SAMPLE)].astype(np.float64)


def _is_inverted(rgb: np.ndarray) -> bool:
    pixels = _some(rgb)
    if len(pixels) < LEAST:
        return False
    chroma, end = np.ptp(pixels, axis=1), max(1, int(ENDS * len(pixels)))
    order = np.argsort(pixels.sum(axis=1), kind="stable")
    darkest, brightest = (float(np.median(chroma[part])) for part in (order[:end], order[-end:]))
    if brightest < COLOURED or darkest > NEUTRAL * brightest:
        return False
    tinted = pixels[chroma > TINTED]
    green = tinted[:, 1] > np.maximum(tinted[:, 0], tinted[:, 2]) + STRONGER
    return len(tinted) > LEAST_TINTED * len(pixels) and float(green.mean()) >= MOSTLY_GREEN


def _stained(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Optical densities [n, 3] of the stained pixels, and their sums."""
    pixels = np.maximum(_some(rgb), 5)
    white = np.maximum(np.percentile(pixels, 98, axis=0), 60) if len(pixels) else np.ones(3)
    density = np.maximum(-np.log(pixels / white), 0)
    total = density.sum(axis=1)
    stained = total > STAINED
    return density[stained], total[stained]


def _is_exchanged(rgb: np.ndarray, stain: str) -> bool:
    density, total = _stained(rgb)
    if len(total) < LEAST:
        return False
    bluer = (density[:, 0] - density[:, 2]) / total
    dense, pale = total >= np.percentile(total, DENSE), total <= np.percentile(total, PALE)
    rest = float(np.median(bluer[pale]))
    # Blood and Schiff-positive casts are dense and red, too; but the nuclei of PAS then stay blue.
    blue = stain == "PAS" and np.percentile(bluer, 95) > 0
    return not blue and rest < BLUEST and float(np.median(bluer[dense])) < rest - REDDER
