"""Detector without training: glomeruli are round blobs of denser, more textured or brighter tissue.

In stained sections the tuft is dense with nuclei and capillary walls, thus darker and more textured than tubules, and
its capsule separates it from them. In fluorescence the tuft is bright with deposits. A map of either is searched for
blobs of the size of a glomerulus.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy import ndimage

from nephroscale.glomeruli.instances import ProbabilityMaps
from nephroscale.glomeruli.settings import DetectionSettings
from nephroscale.glomeruli.shape import MAX_ELONGATION, disc, is_round, to_convex
from nephroscale.glomeruli.tile_view import GLASS, TileView, Window
from nephroscale.slides.tile_status import TileStatus

FINEST_MPP = 4.0  # scale below which nothing is gained, µm per pixel
WINDOW_PX = 512  # side of the windows that are read at once
FINE_UM = 2.0  # scale of the texture, µm per pixel
GRAIN_UM = 8.0  # structures finer than this count as texture
# Length over which a map is averaged: wider than tubules in OM, wider than capillary loops in IM.
OM_TUFT_UM, IM_TUFT_UM = 18.0, 12.0
TEXTURE_WEIGHT = 0.9  # in OM; the rest is the weight of darkness, which varies more between stains
LOW, HIGH = -1.5, 4.0  # bounds of the map, in robust standard deviations of the tissue
# Ducts, tubules and folds are longer; 95 % of 96 glomeruli that HuBMAP outlined in PAS are not.
OM_MAX_ELONGATION = 1.6
OM_CAPSULE_UM = 4.0  # width of the clear space around a tuft
OM_MIN_CONTRAST, IM_MIN_CONTRAST = 1.1, 1.3  # between a glomerulus and its surroundings, in the same unit


@dataclass(frozen=True)
class Blob:
    """A candidate: centre and radius in pixels."""

    y: float
    x: float
    radius: float


def detect(view: TileView, weights: Path | None, settings: DetectionSettings) -> ProbabilityMaps:  # noqa: ARG001
    """Find glomeruli without training.

    Parameters
    ----------
    view
        An OM or IM slide at the scale of segmentation.
    weights
        Not used.
    settings
        `min_diameter_um` and `max_diameter_um`.

    Returns
    -------
    ProbabilityMaps
        255 times the score of a glomerulus within its outline (at least 128), 0 elsewhere.

    References
    ----------
    Lindeberg, "Feature detection with automatic scale selection", IJCV 30 (1998), for the blobs.
    """
    mpp = view.mpp or 1.0
    tuft = tuft_map_om(view) if view.bright else tuft_map_im(view)
    # In OM contrasts are compared in a bounded map, so that dirt does not outweigh a tuft. Outlines are cut in the map
    # without bound, in which half the height of a high tuft is within the tuft.
    bounded = np.minimum(tuft, HIGH) if view.bright else tuft
    capsule = round((OM_CAPSULE_UM if view.bright else 0) / mpp)
    radii = _radii(settings.min_diameter_um / mpp / 2, settings.max_diameter_um / mpp / 2)
    result = np.zeros(view.shape, np.uint8)
    least = OM_MIN_CONTRAST if view.bright else IM_MIN_CONTRAST
    for blob in find_blobs(bounded, radii, 0.5 * least):
        region = grow(tuft, blob, result > 0, OM_MAX_ELONGATION if view.bright else MAX_ELONGATION)
        if region is None:
            continue
        window, mask = region
        contrast = contrast_of(bounded, window, mask)
        if contrast < least or mask.sum() < np.pi * (radii[0] - capsule) ** 2:
            continue
        score = contrast / (contrast + least)  # 0.5 at the lowest contrast that is accepted
        # One pixel between neighbours separates them.
        free = ~ndimage.binary_dilation(result[window] > 0)
        whole = cv2.dilate(mask.astype(np.uint8), disc(capsule)) > 0
        result[window][whole & free] = max(128, round(255 * score))
    return ProbabilityMaps(np.where(view.status == TileStatus.TISSUE, result, 0).astype(np.uint8))


def tuft_map_om(view: TileView) -> np.ndarray:
    """Map darkness and texture of stained tissue, in robust standard deviations of the tissue.

    Parameters
    ----------
    view
        An OM slide.

    Returns
    -------
    numpy.ndarray
        float32 [h, w], the shape of the view, at least -1.5.
    """
    finest = max(1.0, FINE_UM / (view.tiles.mpp or FINE_UM))
    times = max(1, int(view.ratio / finest * 1.001))  # fine pixels along a pixel of the view
    fine = TileView(view.tiles, view.ratio / times)
    mpp = fine.mpp or 1.0
    margin = int(np.ceil(4 * GRAIN_UM / mpp / times)) * times
    dark, grainy = np.zeros(view.shape, np.float32), np.zeros(view.shape, np.float32)
    for window in view.windows(WINDOW_PX):
        place = slice(window.y, window.y + window.h), slice(window.x, window.x + window.w)
        if not (view.status[place] == TileStatus.TISSUE).any():
            continue
        y, x, h, w = (times * side for side in (window.y, window.x, window.h, window.w))
        pixels = fine.read(Window(y - margin, x - margin, h + 2 * margin, w + 2 * margin)).astype(np.float32)
        darkness = np.log(GLASS / np.clip(pixels, 8, GLASS)).mean(axis=2)
        grain = darkness - _smooth(darkness, GRAIN_UM / mpp)
        for source, target in ((darkness, dark), (grain * grain, grainy)):
            inner = source[margin : margin + h, margin : margin + w]
            target[place] = cv2.resize(inner, (window.w, window.h), interpolation=cv2.INTER_AREA)
    sigma = OM_TUFT_UM / (view.mpp or 1.0)
    dark = _smooth(dark, sigma)
    tissue = (view.status == TileStatus.TISSUE) & (dark > 0.06)
    texture = np.sqrt(np.maximum(_smooth(grainy, sigma), 0))
    share = np.float32(TEXTURE_WEIGHT)
    return share * _standardise(texture, tissue) + (1 - share) * _standardise(dark, tissue)


def tuft_map_im(view: TileView) -> np.ndarray:
    """Map brightness of a fluorescence image, in robust standard deviations of the tissue.

    Parameters
    ----------
    view
        An IM image.
    """
    bright = view.whole()[..., 0].astype(np.float32)
    tissue = view.status == TileStatus.TISSUE
    ceiling = float(np.percentile(bright[tissue], 99.5)) if tissue.any() else 1.0
    return _standardise(_smooth(np.minimum(bright, ceiling), IM_TUFT_UM / (view.mpp or 1.0)), tissue)


def _smooth(values: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(values, (0, 0), max(sigma, 0.3), borderType=cv2.BORDER_REFLECT)


def _standardise(values: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    """Subtract the median of the tissue and divide by its spread; background gets the lowest value."""
    if not tissue.any():
        return np.full(values.shape, LOW, np.float32)
    lower, middle, upper = np.percentile(values[tissue], [25, 50, 75])
    spread = max((upper - lower) / 1.35, 0.02 * abs(float(middle)), 1e-6)
    return np.where(tissue, np.maximum((values - middle) / spread, LOW), LOW).astype(np.float32)


def _radii(smallest: float, largest: float) -> list[float]:
    count = max(2, int(np.ceil(np.log(largest / smallest) / np.log(1.25))) + 1)
    return [float(radius) for radius in np.geomspace(smallest, largest, count)]


def find_blobs(values: np.ndarray, radii: list[float], least: float) -> list[Blob]:
    """Find blobs as peaks of the scale-normalised Laplacian, strongest first, none inside another.

    Parameters
    ----------
    values
        float32 [h, w].
    radii
        Radii in pixels, ascending.
    least
        Lowest response of the Laplacian, which is about the height of a disc of that radius.
    """
    responses = np.stack(
        [-ndimage.gaussian_laplace(values, radius / np.sqrt(2), mode="nearest") * radius**2 / 2 for radius in radii]
    )
    peaks = np.zeros(responses.shape, bool)
    for index, radius in enumerate(radii):
        reach = 2 * max(1, round(radius / 3)) + 1
        near = responses[max(0, index - 1) : index + 2].max(axis=0)
        peaks[index] = responses[index] >= ndimage.maximum_filter(near, size=reach)
    peaks &= responses > least
    found = sorted((-float(responses[k, y, x]), int(k), int(y), int(x)) for k, y, x in np.argwhere(peaks))
    blobs: list[Blob] = []
    for _, k, y, x in found:
        if all(np.hypot(y - blob.y, x - blob.x) > 0.7 * max(radii[k], blob.radius) for blob in blobs):
            blobs.append(Blob(y, x, radii[k]))
    return blobs


def grow(
    values: np.ndarray, blob: Blob, taken: np.ndarray, max_elongation: float
) -> tuple[tuple[slice, slice], np.ndarray] | None:
    """Cut out a blob at half its height, if the region is round.

    Parameters
    ----------
    values
        float32 [h, w].
    blob
        The candidate.
    taken
        bool [h, w], pixels of stronger blobs.
    max_elongation
        Largest length by width of a round region.

    Returns
    -------
    tuple or None
        The window, and the mask in it; None if the region is not round.
    """
    reach = int(np.ceil(1.5 * blob.radius)) + 4
    y, x = int(blob.y), int(blob.x)
    window = slice(max(0, y - reach), y + reach + 1), slice(max(0, x - reach), x + reach + 1)
    part = values[window]
    rows, columns = np.ogrid[
        window[0].start : window[0].start + part.shape[0], window[1].start : window[1].start + part.shape[1]
    ]
    away = np.hypot(rows - y, columns - x)
    core = part[away <= 0.6 * blob.radius]
    ring = part[(away > 1.1 * blob.radius) & (away <= 1.5 * blob.radius)]
    if core.size == 0 or ring.size == 0:
        return None
    level = (float(np.median(core)) + float(np.median(ring))) / 2
    mask = (part > level) & (away <= 1.4 * blob.radius) & ~taken[window]
    ball = max(1, round(0.25 * blob.radius))
    padded = np.pad(mask, ball, mode="edge").astype(np.uint8)
    mask = cv2.morphologyEx(padded, cv2.MORPH_OPEN, disc(ball))[ball:-ball, ball:-ball] > 0
    labels, _ = ndimage.label(mask)
    inner = labels[away <= 0.5 * blob.radius]
    counts = np.bincount(inner[inner > 0])
    if counts.size == 0:
        return None
    mask = ndimage.binary_fill_holes(labels == int(counts.argmax()))
    return (window, to_convex(mask)) if is_round(mask, max_elongation=max_elongation) else None


def contrast_of(values: np.ndarray, window: tuple[slice, slice], mask: np.ndarray) -> float:
    """Compute the difference of means between a region and a ring around it, a third of its radius wide."""
    radius = float(np.sqrt(mask.sum() / np.pi))
    ring_width = max(2, round(radius / 3))
    rows = slice(max(0, window[0].start - ring_width), window[0].stop + ring_width)
    columns = slice(max(0, window[1].start - ring_width), window[1].stop + ring_width)
    part = values[rows, columns]
    inside = np.zeros(part.shape, bool)
    top, left = window[0].start - rows.start, window[1].start - columns.start
    inside[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    ring = ndimage.binary_dilation(inside, iterations=ring_width) & ~inside
    return float(part[inside].mean() - part[ring].mean()) if ring.any() else 0.0
