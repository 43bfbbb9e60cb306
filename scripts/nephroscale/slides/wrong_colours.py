"""Brightfield pictures whose colours cannot be those of their stain: negatives, and red exchanged for blue.

Glass is bright and neutral, and dyes take light away, so the brightest pixels of a picture have the least colour. In a
negative they have the most. Haematoxylin, eosin and Schiff's reagent take away green, so that green is never the
strongest of the three colours; in a negative it is. Haematoxylin takes away more red than blue, so that nuclei, the
densest structures, are bluer than the rest; where red and blue are exchanged, they are redder.

Masson and silver stains may have a light green, and black structures; of silver no negative is recognised, and of
neither that red and blue are exchanged (a blue and a red one then change places).
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
CAST_LEVELS = 80.0  # levels between the colours of the brightest pixels; in real fields at most 24
NO_GREEN = ("HE", "PAS")
CAST = "its brightest pixels are strongly coloured and no glass, as where YCbCr or CIELab was read as RGB"
NEGATIVE = "its colours are inverted, as in a photographic negative; save it as it was photographed"
EXCHANGED = (
    "its densest structures are redder than the rest, as where red and blue are exchanged (BGR for RGB) or the stain "
    "in the table is another"
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
    return EXCHANGED if stain in NO_GREEN and _is_exchanged(rgb, stain) else ""


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


def _is_exchanged(rgb: np.ndarray, stain: str) -> bool:
    pixels = np.maximum(_some(rgb), 5)
    white = np.maximum(np.percentile(pixels, 98, axis=0), 60) if len(pixels) else np.ones(3)
    density = np.maximum(-np.log(pixels / white), 0)
    total = density.sum(axis=1)
    stained = total > STAINED
    if stained.sum() < LEAST:
        return False
    total, bluer = total[stained], ((density[:, 0] - density[:, 2])[stained]) / total[stained]
    dense, pale = total >= np.percentile(total, DENSE), total <= np.percentile(total, PALE)
    rest = float(np.median(bluer[pale]))
    # Blood and Schiff-positive casts are dense and red, too; but the nuclei of PAS then stay blue.
    blue = stain == "PAS" and np.percentile(bluer, 95) > 0
    return not blue and rest < BLUEST and float(np.median(bluer[dense])) < rest - REDDER
