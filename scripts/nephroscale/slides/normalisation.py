"""Stain normalisation by the methods of Macenko, Vahadane and Reinhard: fitted once per slide, applied tile by tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from threading import local
from typing import Any, Literal, Protocol, Self

import cv2
import numpy as np

from nephroscale.slides.stain import DENSITY, GLASS_MARGIN, MacenkoFit, ReinhardFit, StainReference

GAIN_LIMIT = 3.0
STRIP_PX = 128

Method = Literal["macenko", "vahadane", "reinhard", "none"]
Fit = MacenkoFit | ReinhardFit


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
    fits: tuple[MacenkoFit, ...] | tuple[ReinhardFit, ...] | None = None

    @classmethod
    def of(cls, method: str, fits: Sequence[Any], fallback: str | None = None) -> Self:
        """Normalise by the fits of the slide and of the reference, both of the kind that the method has."""
        apply: Applier = (ReinhardApplier if method == "reinhard" else MacenkoApplier)(*fits)
        return cls(method, apply, fallback, tuple(fits))

    def to_json(self) -> dict[str, object]:
        """Convert to JSON, from which :meth:`from_json` makes a normalisation of equal bytes."""
        return {"method": self.method, "fits": self.fits and [asdict(fit) for fit in self.fits]}

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Read the JSON object that :meth:`to_json` gives."""
        if content["method"] == "identity":
            return cls("identity")
        kind = ReinhardFit if content["method"] == "reinhard" else MacenkoFit
        return cls.of(content["method"], [kind(**fit) for fit in content["fits"]])

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
    reasons: list[str] = []
    candidates: dict[str, tuple[Fit, Fit | None]] = {
        "macenko": (stains, reference.macenko),
        "vahadane": (stains, reference.vahadane),
        "reinhard": (reinhard, reference.reinhard),
    }
    for name in dict.fromkeys((method, "reinhard")):
        mine, target = candidates[name]
        if target is None or target.fault:
            reasons.append(f"{name}: the reference has no fit")
        elif mine.fault:
            reasons.append(f"{name}: {mine.fault}")
        else:
            return Normalisation.of(name, (mine, target), "; ".join(reasons) or None)
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
