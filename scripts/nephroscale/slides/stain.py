"""Stain normalisation, fitted once per slide and applied fast: Macenko's and Reinhard's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

DIGITS = 6
LEAST_PIXELS = 500
DENSITY_FLOOR = 0.15
# Stain vectors nearer than about 16° (haematoxylin and eosin: 22°) cannot be told apart well enough: noise in one is
# read as much of the other. Silver stains are often there, and slides of one stain then come out in several colours.
CONDITION_LIMIT = 7.0
GAIN_LIMIT = 3.0
# Optical density, finite for level 0 and exactly 0 for level 255.
DENSITY = (-np.log(np.maximum(np.arange(256), 1) / 255)).astype(np.float32)
WHITE = (255.0, 255.0, 255.0)
# L* below that of glass at which Reinhard's change comes into full force, so that glass keeps its colour.
GLASS_MARGIN = 8.0

Fit = dict[str, Any]


def fit_macenko(rgb: np.ndarray, white: tuple[float, ...] = WHITE, *, percentile: float = 1.0) -> Fit:
    """Find the two stain vectors of a sample of tissue.

    Parameters
    ----------
    rgb
        uint8 [n, 3], pixels of tissue.
    white
        Red, green and blue of empty glass, 1 to 255: densities count from there.
    percentile
        Share of extreme pixels left out at either end, 0 to 50.

    Returns
    -------
    dict
        `matrix` (3 rows R, G, B by 2 stains, unit columns; the stain that absorbs more red comes first: haematoxylin,
        silver), `maximum` (99th percentile of each stain's concentration), `white`, `condition` (condition number of
        the matrix), and `fault`, a reason where the fit must not be used, else None.

    References
    ----------
    Macenko et al, A method for normalizing histology slides for quantitative analysis, ISBI 2009.
    """
    glass = np.round(white, 3)
    density = DENSITY[rgb].astype(np.float64) + np.log(glass / 255)
    stained = density[(density > DENSITY_FLOOR).all(1)]
    if len(stained) < LEAST_PIXELS:
        return {
            "matrix": None,
            "maximum": None,
            "white": glass.tolist(),
            "condition": None,
            "fault": "too few stained pixels",
        }
    _, vectors = np.linalg.eigh(np.cov(stained.T))
    plane = vectors[:, [2, 1]]
    plane *= np.where(plane.sum(0) < 0, -1, 1)
    along = stained @ plane
    angle = np.arctan2(along[:, 1], along[:, 0])
    low, high = np.percentile(angle, [percentile, 100 - percentile])
    pair = plane @ np.array([[np.cos(low), np.cos(high)], [np.sin(low), np.sin(high)]])
    pair = pair[:, np.argsort(-pair[0], kind="stable")]
    matrix = np.round(pair, DIGITS)
    condition = float(np.linalg.cond(matrix))
    maximum = np.percentile(stained @ np.linalg.pinv(matrix).T, 99, axis=0)
    fault = None
    if condition > CONDITION_LIMIT:
        fault = "the two stains cannot be told apart"
    elif matrix.min() < -0.05:
        fault = "a stain vector is not that of a dye"
    elif maximum.min() < 0.05:
        fault = "one of the stains is missing"
    return {
        "matrix": matrix.tolist(),
        "maximum": np.round(maximum, DIGITS).tolist(),
        "white": glass.tolist(),
        "condition": round(condition, 3),
        "fault": fault,
    }


def fit_reinhard(rgb: np.ndarray, white: tuple[float, ...] = WHITE) -> Fit:
    """Take mean and spread of a sample of tissue in CIELAB, glass left out.

    Parameters
    ----------
    rgb
        uint8 [n, 3], pixels of tissue.
    white
        Red, green and blue of empty glass, 1 to 255.

    Returns
    -------
    dict
        `mean` and `deviation` of L*, a*, b*, `glass` (its L*), and `fault`, a reason where the fit must not be used,
        else None.

    References
    ----------
    Reinhard et al, Color transfer between images, IEEE CG&A 21:34 (2001); in CIELAB instead of their lαβ.
    """
    glass = round(float(_lab(np.array([white]))[0, 0]), 3)
    lab = _lab(rgb).astype(np.float64)
    lab = lab[lab[:, 0] < glass - GLASS_MARGIN]
    if len(lab) < LEAST_PIXELS:
        return {"mean": None, "deviation": None, "glass": glass, "fault": "too few stained pixels"}
    deviation = lab.std(0)
    return {
        "mean": np.round(lab.mean(0), DIGITS).tolist(),
        "deviation": np.round(deviation, DIGITS).tolist(),
        "glass": glass,
        "fault": None if deviation[0] > 0.5 else "the pixels are all alike",
    }


def _lab(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor((rgb[None] / 255).astype(np.float32), cv2.COLOR_RGB2LAB)[0]


def choose_normalisation(
    method: str, macenko: Fit, reinhard: Fit, reference: dict[str, Fit] | None
) -> tuple[str, Callable[[np.ndarray], np.ndarray] | None, str | None]:
    """Decide how a slide is normalised, falling back from Macenko to Reinhard to leaving it as it is.

    Parameters
    ----------
    method
        `macenko`, `reinhard` or `none`.
    macenko, reinhard
        Fits of the slide.
    reference
        The same of the reference for its stain (`macenko`, `reinhard`), or None.

    Returns
    -------
    tuple of (str, callable or None, str or None)
        What is done (`macenko`, `reinhard` or `identity`), the applier (None for identity), and why it is not
        what was asked for (None where it is).
    """
    if method == "none":
        return "identity", None, None
    if not reference:
        return "identity", None, "there is no reference for this stain"
    reasons = []
    for name in ("macenko", "reinhard") if method == "macenko" else ("reinhard",):
        fit, target = {"macenko": macenko, "reinhard": reinhard}[name], reference.get(name)
        if not target or target.get("fault"):
            reasons.append(f"{name}: the reference has none")
        elif fit["fault"]:
            reasons.append(f"{name}: {fit['fault']}")
        else:
            applier = MacenkoApplier(fit, target) if name == "macenko" else ReinhardApplier(fit, target)
            return name, applier, "; ".join(reasons) or None
    return "identity", None, "; ".join(reasons)


class MacenkoApplier:
    """Turn a slide's stain vectors into the reference's, on buffers kept between calls.

    The whole way (density, concentrations, their gain, the other vectors) is one 3 x 3 matrix on densities. Glass
    becomes the reference's glass.
    """

    def __init__(self, source: Fit, reference: Fit) -> None:
        self.matrix = macenko_matrix(source, reference)
        # Both whites and the signs go into one affine map, so that exp gives levels at once.
        glass, target = (-np.log(np.asarray(fit["white"]) / 255) for fit in (source, reference))
        shift = np.log(255.0) + self.matrix @ glass - target
        self._affine = np.hstack([-self.matrix, shift[:, None]]).astype(np.float32)
        self._buffers: dict[tuple[int, ...], tuple[np.ndarray, ...]] = {}

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """Normalise uint8 [h, w, 3]; gives a new array."""
        if rgb.shape not in self._buffers:
            self._buffers = {rgb.shape: (np.empty(rgb.shape, np.float32), np.empty(rgb.shape, np.float32))}
        first, second = self._buffers[rgb.shape]
        cv2.LUT(rgb, DENSITY, first)
        cv2.transform(first, self._affine, second)
        cv2.exp(second, first)
        return cv2.convertScaleAbs(first)


class ReinhardApplier:
    """Shift and stretch L*, a*, b* to the reference's mean and spread, on buffers kept between calls.

    Glass is left as it is, and what is nearly as light is changed by as much as it is darker.
    """

    def __init__(self, source: Fit, reference: Fit) -> None:
        gain = reinhard_gain(source, reference)
        shift = np.asarray(reference["mean"]) - gain * np.asarray(source["mean"])
        self._change = np.hstack([np.diag(gain) - np.eye(3), shift[:, None]]).astype(np.float32)
        # One plane that says how much of the change holds, three times over.
        force = np.zeros((3, 4), np.float32)
        force[:, 0], force[:, 3] = -1 / GLASS_MARGIN, source["glass"] / GLASS_MARGIN
        self._force = force
        self._buffers: dict[tuple[int, ...], tuple[np.ndarray, ...]] = {}

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """Normalise uint8 [h, w, 3]; gives a new array."""
        if rgb.shape not in self._buffers:
            self._buffers = {rgb.shape: tuple(np.empty(rgb.shape, np.float32) for _ in range(3))}
        lab, change, force = self._buffers[rgb.shape]
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


def macenko_matrix(source: Fit, reference: Fit) -> np.ndarray:
    """Give the 3 x 3 matrix, float64, that turns densities of the source into those of the reference."""
    gain = np.asarray(reference["maximum"]) / np.asarray(source["maximum"])
    return np.asarray(reference["matrix"]) @ np.diag(gain) @ np.linalg.pinv(np.asarray(source["matrix"]))


def reinhard_gain(source: Fit, reference: Fit) -> np.ndarray:
    """Give the stretch of L*, a*, b*, at most threefold either way."""
    ratio = np.asarray(reference["deviation"]) / np.maximum(np.asarray(source["deviation"]), 1e-3)
    return np.clip(ratio, 1 / GAIN_LIMIT, GAIN_LIMIT)
