"""Stain normalisation by the methods of Macenko, Vahadane and Reinhard: fitted once per slide, applied tile by tile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from threading import local
from typing import Any, Literal, Protocol, Self

import cv2
import numpy as np

DIGITS = 6
MIN_PIXELS = 500
DENSITY_FLOOR = 0.15
# Stain vectors closer than about 16° (haematoxylin and eosin: 22°) are not separable: noise in one becomes much of
# the other. Silver stains are often that close, and slides of one stain would then get different colours.
CONDITION_LIMIT = 7.0
GAIN_LIMIT = 3.0
# Optical density by grey level; finite for level 0, exactly 0 for level 255.
DENSITY = (-np.log(np.maximum(np.arange(256), 1) / 255)).astype(np.float32)
WHITE = (255.0, 255.0, 255.0)
# Reinhard's change has its full weight from this much L* below that of glass, so that glass keeps its colour.
GLASS_MARGIN = 8.0

STRIP_PX = 64

Method = Literal["macenko", "vahadane", "reinhard", "none"]


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


class Applier(Protocol):
    """Normalises pixels."""

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """Normalise uint8 [h, w, 3] into a new array."""

    def planes(self, rgb: np.ndarray) -> np.ndarray:
        """Normalise uint8 [h, w, 3] into a new array [3, h, w]."""


@dataclass(frozen=True)
class Normalisation:
    """How the tiles of a slide are normalised.

    Parameters
    ----------
    method
        `macenko`, `vahadane`, `reinhard` or `identity`.
    apply
        Normalises pixels; None for `identity`.
    fallback
        Why the configured method is not used; None where it is.
    fits
        The slide's and the reference's, which decide `apply`; None for `identity`.
    """

    method: str
    apply: Applier | None = None
    fallback: str | None = None
    fits: tuple[MacenkoFit, MacenkoFit] | tuple[ReinhardFit, ReinhardFit] | None = None

    def to_json(self) -> dict[str, object]:
        """Convert to JSON, from which :meth:`from_json` makes a normalisation of equal bytes."""
        return {"method": self.method, "fits": self.fits and [asdict(fit) for fit in self.fits]}

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Read the JSON object that :meth:`to_json` gives."""
        method = content["method"]
        if method == "identity":
            return cls(method)
        if method == "reinhard":
            mine, target = (ReinhardFit(**fit) for fit in content["fits"])
            return cls(method, ReinhardApplier(mine, target), fits=(mine, target))
        source, reference = (MacenkoFit(**fit) for fit in content["fits"])
        return cls(method, MacenkoApplier(source, reference), fits=(source, reference))

    def planes(self, pixels: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Normalise a tile.

        Parameters
        ----------
        pixels
            uint8 [h, w, 3].
        valid
            bool [h, w]: pixels that the file has; the others become white, the colour of glass that is not normalised.

        Returns
        -------
        numpy.ndarray
            uint8 [3, h, w].
        """
        if self.apply is None:
            return split_planes(pixels)
        normalised = self.apply.planes(np.ascontiguousarray(pixels))
        if not valid.all():
            normalised[:, ~valid] = 255
        return normalised


def choose_normalisation(
    method: Method, stains: MacenkoFit, reinhard: ReinhardFit, reference: StainReference | None
) -> Normalisation:
    """Choose how a slide is normalised: Macenko or Vahadane, or else Reinhard, or else not at all.

    Parameters
    ----------
    method
        The configured method.
    stains
        Stain vectors of the slide, by `method` where that is Macenko or Vahadane.
    reinhard
        Colour statistics of the slide.
    reference
        Fits of the reference for its stain, or None.
    """
    if method == "none":
        return Normalisation("identity")
    if reference is None:
        return Normalisation("identity", fallback="there is no reference for this stain")
    reasons = []
    if method in {"macenko", "vahadane"}:
        target = reference.macenko if method == "macenko" else reference.vahadane
        if target is None or target.fault:
            reasons.append(f"{method}: the reference has no fit")
        elif stains.fault:
            reasons.append(f"{method}: {stains.fault}")
        else:
            return Normalisation(method, MacenkoApplier(stains, target), fits=(stains, target))
    if reference.reinhard is None or reference.reinhard.fault:
        reasons.append("reinhard: the reference has no fit")
    elif reinhard.fault:
        reasons.append(f"reinhard: {reinhard.fault}")
    else:
        apply, fits = ReinhardApplier(reinhard, reference.reinhard), (reinhard, reference.reinhard)
        return Normalisation("reinhard", apply, "; ".join(reasons) or None, fits)
    return Normalisation("identity", fallback="; ".join(reasons))


class _Buffers(local):
    """Three float32 arrays of a shape, kept between calls; each thread has its own."""

    kept: tuple[np.ndarray, ...] = ()

    def __call__(self, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
        if not self.kept or self.kept[0].shape != shape:
            self.kept = tuple(np.empty(shape, np.float32) for _ in range(3))
        return self.kept


class MacenkoApplier:
    """Replace the stain vectors of a slide by those of the reference; buffers are reused between calls.

    Unmixing, gain and mixing together are one 3 x 3 matrix on optical densities. Glass gets the colour of the
    reference's glass.
    """

    def __init__(self, source: MacenkoFit, reference: MacenkoFit) -> None:
        self.matrix = macenko_matrix(source, reference)
        # White points and signs are part of one affine map, so that exp gives grey levels directly.
        glass, target = (-np.log(np.asarray(fit.white) / 255) for fit in (source, reference))
        shift = np.log(255.0) + self.matrix @ glass - target
        self._affine = np.hstack([-self.matrix, shift[:, None]]).astype(np.float32)
        self._buffers = _Buffers()

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """Normalise uint8 [h, w, 3] into a new array."""
        first, second, _ = self._buffers(rgb.shape)
        cv2.LUT(rgb, DENSITY, first)
        cv2.transform(first, self._affine, second)
        cv2.exp(second, first)
        return cv2.convertScaleAbs(first)

    def planes(self, rgb: np.ndarray) -> np.ndarray:
        """Normalise uint8 [h, w, 3] into a new array [3, h, w], in strips that stay in the processor's cache."""
        planes = np.empty((3, *rgb.shape[:2]), np.uint8)
        for top in range(0, rgb.shape[0], STRIP_PX):
            strip = rgb[top : top + STRIP_PX]
            density, spare, _ = self._buffers(strip.shape)
            plane = spare.reshape(3, *strip.shape[:2])[0]  # one plane of its memory
            cv2.LUT(strip, DENSITY, density)
            for row, out in zip(self._affine, planes[:, top : top + STRIP_PX], strict=True):
                cv2.exp(cv2.transform(density, row[None], plane), plane)
                cv2.convertScaleAbs(plane, out)
        return planes


class ReinhardApplier:
    """Match mean and standard deviation of L*, a*, b* to the reference; buffers are reused between calls.

    Glass keeps its colour; the change grows linearly from there to its full weight 8 L* below.
    """

    def __init__(self, source: ReinhardFit, reference: ReinhardFit) -> None:
        gain = reinhard_gain(source, reference)
        shift = np.asarray(reference.mean) - gain * np.asarray(source.mean)
        self._change = np.hstack([np.diag(gain) - np.eye(3), shift[:, None]]).astype(np.float32)
        # The weight of the change, the same in three planes.
        force = np.zeros((3, 4), np.float32)
        force[:, 0], force[:, 3] = -1 / GLASS_MARGIN, source.glass / GLASS_MARGIN
        self._force = force
        self._buffers = _Buffers()

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """Normalise uint8 [h, w, 3] into a new array."""
        lab, change, force = self._buffers(rgb.shape)
        np.multiply(rgb, np.float32(1 / 255), out=change)
        cv2.cvtColor(change, cv2.COLOR_RGB2LAB, lab)
        cv2.transform(lab, self._change, change)
        cv2.transform(lab, self._force, force)
        np.clip(force, 0, 1, out=force)
        cv2.multiply(change, force, change)
        cv2.add(lab, change, lab)
        np.clip(lab[..., 0], 0, 100, out=lab[..., 0])
        cv2.cvtColor(lab, cv2.COLOR_LAB2RGB, change)
        np.maximum(change, 0.0, out=change)
        return cv2.convertScaleAbs(change, alpha=255.0)

    def planes(self, rgb: np.ndarray) -> np.ndarray:
        """Normalise uint8 [h, w, 3] into a new array [3, h, w]."""
        return split_planes(self(rgb))


def split_planes(pixels: np.ndarray) -> np.ndarray:
    """Separate the channels of [h, w, c] into a new array [c, h, w]."""
    if pixels.shape[-1] == 1:
        return pixels.reshape(1, *pixels.shape[:2])
    planes = np.empty((pixels.shape[-1], *pixels.shape[:2]), pixels.dtype)
    cv2.split(pixels, list(planes))
    return planes


def macenko_matrix(source: MacenkoFit, reference: MacenkoFit) -> np.ndarray:
    """Compute the 3 x 3 matrix, float64, from optical densities of the source to those of the reference."""
    gain = np.asarray(reference.maximum) / np.asarray(source.maximum)
    return np.asarray(np.asarray(reference.matrix) @ np.diag(gain) @ np.linalg.pinv(np.asarray(source.matrix)))


def reinhard_gain(source: ReinhardFit, reference: ReinhardFit) -> np.ndarray:
    """Compute the gain of L*, a*, b*, from 1/3 to 3."""
    ratio = np.asarray(reference.deviation) / np.maximum(np.asarray(source.deviation), 1e-3)
    return np.asarray(np.clip(ratio, 1 / GAIN_LIMIT, GAIN_LIMIT))
