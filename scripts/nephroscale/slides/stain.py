"""Stain vectors and colour statistics of a slide, by the methods of Macenko and Reinhard, and the reference's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import cv2
import numpy as np

DIGITS = 6
MIN_PIXELS = 500
DENSITY_FLOOR = 0.15
# Stain vectors closer than about 16° (haematoxylin and eosin: 22°) are not separable: noise in one becomes much of
# the other. Silver stains are often that close, and slides of one stain would then get different colours.
CONDITION_LIMIT = 7.0
# Optical density by grey level; finite for level 0, exactly 0 for level 255.
DENSITY = (-np.log(np.maximum(np.arange(256), 1) / 255)).astype(np.float32)
WHITE = (255.0, 255.0, 255.0)
# Reinhard's change has its full weight from this much L* below that of glass, so that glass keeps its colour.
GLASS_MARGIN = 8.0


def channel_densities(rgb: np.ndarray, white: Sequence[float] | np.ndarray) -> Iterator[np.ndarray]:
    """Yield the optical density of each channel, float32 [h, w] of 0 or more, of uint8 [h, w, 3] on `white`."""
    for channel, glass in zip(cv2.split(np.ascontiguousarray(rgb)), white, strict=True):
        yield np.maximum(cv2.LUT(channel, DENSITY) + np.float32(np.log(glass / 255)), 0)


@dataclass(frozen=True)
class MacenkoFit:
    """Stain vectors of a slide.

    Parameters
    ----------
    matrix
        3 rows (R, G, B) by 2 stains, columns of unit length; the stain that absorbs more red comes first
        (haematoxylin, silver). None where too few pixels are stained.
    maximum
        99th percentile of the concentration of each stain, or None.
    white
        R, G and B of empty glass.
    condition
        Condition number of the matrix, or None.
    fault
        Why the fit must not be used; None for a good one.
    """

    matrix: list[list[float]] | None
    maximum: list[float] | None
    white: list[float]
    condition: float | None
    fault: str | None

    @property
    def vector(self) -> np.ndarray:
        """The fitted numbers in one row, for comparing fits."""
        return np.concatenate([np.ravel(np.asarray(part)) for part in (self.matrix, self.maximum, self.white)])


@dataclass(frozen=True)
class ReinhardFit:
    """Colour statistics of a slide in CIELAB.

    Parameters
    ----------
    mean, deviation
        Of L*, a*, b* of stained tissue; None where too few pixels are stained.
    glass
        L* of empty glass.
    fault
        Why the fit must not be used; None for a good one.
    """

    mean: list[float] | None
    deviation: list[float] | None
    glass: float
    fault: str | None

    @property
    def vector(self) -> np.ndarray:
        """The fitted numbers in one row, for comparing fits."""
        return np.concatenate([np.ravel(np.asarray(part)) for part in (self.mean, self.deviation, self.glass)])


@dataclass(frozen=True)
class StainReference:
    """The fits that slides of one stain are normalised to.

    Parameters
    ----------
    macenko, reinhard
        None where no slide has a good fit.
    slides, rejected
        Number of slides fitted, and of those that could not be.
    vahadane
        None too where that method is not configured.
    """

    macenko: MacenkoFit | None
    reinhard: ReinhardFit | None
    slides: int = 0
    rejected: int = 0
    vahadane: MacenkoFit | None = None

    def to_json(self) -> dict[str, object]:
        """Convert to JSON; `vahadane` only where there is one."""
        return {name: value for name, value in asdict(self).items() if name != "vahadane" or value is not None}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read the JSON that :meth:`to_json` gives."""
        macenko, reinhard, vahadane = (content.get(name) for name in ("macenko", "reinhard", "vahadane"))
        return cls(
            MacenkoFit(**macenko) if macenko else None,
            ReinhardFit(**reinhard) if reinhard else None,
            content.get("slides", 0),
            content.get("rejected", 0),
            MacenkoFit(**vahadane) if vahadane else None,
        )


def fit_macenko(rgb: np.ndarray, white: tuple[float, ...] = WHITE, *, percentile: float = 1.0) -> MacenkoFit:
    """Fit the two stain vectors of a sample of tissue.

    Parameters
    ----------
    rgb
        uint8 [n, 3], pixels of tissue.
    white
        R, G and B of empty glass, 1 to 255, where the optical density is zero.
    percentile
        Percentage of extreme angles left out at either end, 0 to 50.

    References
    ----------
    Macenko et al, A method for normalizing histology slides for quantitative analysis, ISBI 2009.
    """
    glass = np.round(white, 3)
    density = DENSITY[rgb].astype(np.float64) + np.log(glass / 255)
    stained = density[(density > DENSITY_FLOOR).all(1)]
    if len(stained) < MIN_PIXELS:
        return MacenkoFit(None, None, glass.tolist(), None, "too few stained pixels")
    _, vectors = np.linalg.eigh(np.cov(stained.T))
    plane = vectors[:, [2, 1]]
    plane *= np.where(plane.sum(0) < 0, -1, 1)
    along = stained @ plane
    low, high = np.percentile(np.arctan2(along[:, 1], along[:, 0]), [percentile, 100 - percentile])
    pair = plane @ np.array([[np.cos(low), np.cos(high)], [np.sin(low), np.sin(high)]])
    return judge_stains(pair, stained, glass.tolist())


def judge_stains(vectors: np.ndarray, stained: np.ndarray, white: list[float]) -> MacenkoFit:
    """Measure the amounts of two dyes, and judge whether their vectors can be used.

    Parameters
    ----------
    vectors
        [3, 2], columns of unit length, in any order.
    stained
        float64 [n, 3], optical densities of stained pixels.
    white
        R, G and B of empty glass.
    """
    matrix = np.round(vectors[:, np.argsort(-vectors[0], kind="stable")], DIGITS)
    condition = float(np.linalg.cond(matrix))
    maximum = np.percentile(stained @ np.linalg.pinv(matrix).T, 99, axis=0)
    fault = None
    if condition > CONDITION_LIMIT:
        fault = "the two stains are not separable"
    elif matrix.min() < -0.05:
        fault = "a stain vector has negative absorption"
    elif maximum.min() < 0.05:
        fault = "one of the stains is missing"
    return MacenkoFit(matrix.tolist(), np.round(maximum, DIGITS).tolist(), white, round(condition, 3), fault)


def fit_reinhard(rgb: np.ndarray, white: tuple[float, ...] = WHITE) -> ReinhardFit:
    """Fit mean and standard deviation of a sample of tissue in CIELAB, without glass.

    Parameters
    ----------
    rgb
        uint8 [n, 3], pixels of tissue.
    white
        R, G and B of empty glass, 1 to 255.

    References
    ----------
    Reinhard et al, Color transfer between images, IEEE CG&A 21:34 (2001); here in CIELAB instead of lαβ.
    """
    glass = round(float(_lab(np.array([white]))[0, 0]), 3)
    lab = _lab(rgb).astype(np.float64)
    lab = lab[lab[:, 0] < glass - GLASS_MARGIN]
    if len(lab) < MIN_PIXELS:
        return ReinhardFit(None, None, glass, "too few stained pixels")
    deviation = lab.std(0)
    return ReinhardFit(
        np.round(lab.mean(0), DIGITS).tolist(),
        np.round(deviation, DIGITS).tolist(),
        glass,
        None if deviation[0] > 0.5 else "all pixels have the same lightness",
    )


def _lab(rgb: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor((rgb[None] / 255).astype(np.float32), cv2.COLOR_RGB2LAB)[0])
