"""Outlines that are not where the glomeruli are: displaced, mirrored, or not in pixels of full resolution.

Glomeruli stand out as blobs in the map of the classical detector, on most slides. Where the outlines lie beside the
blobs, and one simple change puts nearly all of them on blobs, this change is what happened to their coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from shapely.geometry import Polygon

from nephroscale.glomeruli.classical import FINEST_MPP, HIGH, OM_MIN_CONTRAST, tuft_map_om
from nephroscale.glomeruli.tile_view import TileView

LEAST, MOST = 4, 60  # outlines that are looked at
ON_BLOB, BESIDE = 0.8, 0.4  # shares of the outlines on blobs, after the change and before
FAR = 1.0  # of the radius, the least displacement
NEAR = 0.5  # of the radius, by which outlines may be inaccurate
INSIDE = 0.9  # share of the outlines that a change leaves on tissue
CHANCE = 1e-3  # that places without glomeruli are on as many blobs, in any of the changes that are tried
FACTORS = (2.0, 4.0, 8.0, 16.0, 32.0, 0.5, 0.25)  # of a reduced or enlarged copy
REDUCED = "drawn on a reduced or enlarged copy"


class Change(NamedTuple):
    """Changed centres, y, x [n, 2], their radius in pixels, and what they are called."""

    centres: np.ndarray
    radius: float
    what: str


def find_misplacement(view: TileView, outlines: Sequence[Polygon]) -> str:
    """Find out how the outlines of an OM slide are displaced against its glomeruli; empty where nothing shows it.

    Displacements in all directions, mirrored copies, exchanged axes, and factors (µm instead of pixels, reduced copies)
    are tried. A change is found if it puts four fifths of the outlines on blobs, if at most two fifths are on blobs
    without it, and if this is not by chance: by the binomial distribution and the number of changes (Bonferroni).

    Parameters
    ----------
    view
        The slide at any scale.
    outlines
        In raw level-0 pixels, at least four.
    """
    if view.mpp is None or not view.bright or len(outlines) < LEAST:
        return ""
    view = TileView.at_scale(view.tiles, FINEST_MPP)
    some = outlines[:: -(-len(outlines) // MOST)]
    to_view = [view.polygon_from_raw(polygon) for polygon in some]
    centres = np.array([[one.centroid.y, one.centroid.x] for one in to_view])
    radius = math.sqrt(float(np.median([one.area for one in to_view])) / math.pi)
    tissue = view.status > 0 if view.tissue is None else view.tissue
    if not tissue.any() or radius < 1:
        return ""
    blobs = _Blobs(np.minimum(tuft_map_om(view), HIGH), tissue)
    needed = math.ceil(ON_BLOB * len(some))
    if blobs.count_near(centres, radius) > BESIDE * len(some):
        return ""
    changes = [one for one in changes_of(view, some) if blobs.can_measure(one.radius)]
    found = [(blobs.count_near(one.centres, one.radius), one) for one in changes]
    best = max(found, key=lambda pair: pair[0], default=None)
    if best and best[0] >= needed and _chance(best[0], len(some), blobs.share(best[1].radius)) * len(changes) < CHANCE:
        return best[1].what
    if not blobs.can_measure(radius):
        return ""
    count, tried, (down, across) = blobs.best_displacement(centres, radius)
    if count >= needed and _chance(count, len(some), blobs.share(radius)) * tried < CHANCE:
        along = view.ratio * np.asarray(view.tiles.raw_px)
        x, y = (round(float(value), -1) for value in np.array([across, down]) * along)
        return f"displaced by about {-x:.0f} pixels along x and {-y:.0f} along y"
    return ""


def changes_of(view: TileView, outlines: Sequence[Polygon]) -> Iterator[Change]:
    """Yield what happens to coordinates: mirrored and turned copies, exchanged axes, another corner, and factors.

    Parameters
    ----------
    view
        The slide.
    outlines
        In raw level-0 pixels.
    """
    width, height = (float(side) for side in view.tiles.slide_px)
    raw = np.array([[one.centroid.x, one.centroid.y] for one in outlines])
    size = math.sqrt(float(np.median([one.area for one in outlines])) / math.pi)
    per_pixel = view.ratio * float(np.mean(view.tiles.raw_px))
    mirrored = {
        "mirrored left to right": (True, False),
        "mirrored upside down": (False, True),
        "turned by 180 degrees": (True, True),
    }
    for what, (across, down) in mirrored.items():
        turned = np.stack([width - raw[:, 0] if across else raw[:, 0], height - raw[:, 1] if down else raw[:, 1]], 1)
        yield Change(view.from_raw(turned)[:, ::-1], size / per_pixel, what)
    yield Change(view.from_raw(raw[:, ::-1])[:, ::-1], size / per_pixel, "written with x and y exchanged")
    quarters = {
        "to the left": np.stack([width - raw[:, 1], raw[:, 0]], 1),
        "to the right": np.stack([raw[:, 1], height - raw[:, 0]], 1),
    }
    for where, turned in quarters.items():
        yield Change(view.from_raw(turned)[:, ::-1], size / per_pixel, f"turned by 90 degrees {where}")
    tissue = view.status > 0 if view.tissue is None else view.tissue
    corner = np.array([np.flatnonzero(tissue.any(axis=1 - axis))[:1].sum() for axis in (0, 1)])
    if np.hypot(*corner) > FAR * size / per_pixel:
        centres = (view.from_raw(raw) - view.from_raw(np.zeros((1, 2))))[:, ::-1]
        yield Change(centres + corner, size / per_pixel, "counted from the corner of the tissue")
    um = per_pixel / (view.mpp or 1.0)  # pixels of the file in one µm
    factors = dict.fromkeys(FACTORS, REDUCED) | {um: "in µm", um / 1000: "in nm"}
    for factor, what in factors.items():
        yield Change(view.from_raw(raw * factor)[:, ::-1], size * factor / per_pixel, what)


class _Blobs:
    """Responses of a map to discs."""

    def __init__(self, tuft: np.ndarray, tissue: np.ndarray) -> None:
        self.tuft, self.tissue = tuft, tissue
        self._on: dict[float, np.ndarray] = {}

    def can_measure(self, radius: float) -> bool:
        """Whether discs are of the size of glomeruli, 40 to 500 µm wide, and smaller than the slide."""
        return 20 <= radius * FINEST_MPP <= 250 and radius < min(self.tuft.shape) / 2

    def on(self, radius: float) -> np.ndarray:
        """Mask the centres of discs that stand out, by the Laplacian of Gaussian."""
        if radius not in self._on:
            sharp = -ndimage.gaussian_laplace(self.tuft, radius / math.sqrt(2), mode="nearest") * radius**2 / 2
            self._on[radius] = (sharp >= OM_MIN_CONTRAST) & self.tissue
        return self._on[radius]

    def share(self, radius: float) -> float:
        """Share of the tissue that is the centre of such a disc."""
        return float(self.on(radius).sum() / self.tissue.sum())

    def count_near(self, centres: np.ndarray, radius: float) -> int:
        """Count the centres on blobs, at the best of nine places near them."""
        if not self.can_measure(radius):
            return 0
        reach = NEAR * radius
        shifts = [(y, x) for y in (-reach, 0.0, reach) for x in (-reach, 0.0, reach)]
        return max(int(_at(self.on(radius), centres + shift).sum()) for shift in shifts)

    def best_displacement(self, centres: np.ndarray, radius: float) -> tuple[int, int, tuple[float, float]]:
        """Try all displacements: the most centres on blobs, how many were tried, and the mean of the best, y and x."""
        height, width = self.tuft.shape
        step = max(1, round(radius / 3))
        across = np.arange(-width, width, step)
        best, tried, where = 1, 0, list[tuple[int, int]]()
        needed = INSIDE * len(centres)
        for down in range(-height, height, step):
            y = np.rint(centres[:, 0] + down).astype(int)
            if ((y >= 0) & (y < height)).sum() < needed:
                continue
            places = np.stack(np.broadcast_arrays(y[None], np.rint(centres[:, 1] + across[:, None]).astype(int)), -1)
            counts = _at(self.on(radius), places).sum(axis=1)
            counts[_at(self.tissue, places).sum(axis=1) < needed] = -1
            counts[np.hypot(down, across) < FAR * radius] = -1
            tried += int((counts >= 0).sum())
            if counts.max() > best:
                best, where = int(counts.max()), []
            where += [(down, int(x)) for x in across[counts == best]]
        y, x = np.mean(where or [(0, 0)], axis=0)
        return best, tried, (float(y), float(x))


def _at(mask: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Look up a mask at places, y, x [..., 2]; False outside."""
    y, x = np.moveaxis(np.rint(places).astype(int), -1, 0)
    inside = (y >= 0) & (y < mask.shape[0]) & (x >= 0) & (x < mask.shape[1])
    return np.asarray(mask[np.where(inside, y, 0), np.where(inside, x, 0)] & inside)


def _chance(hits: int, outlines: int, share: float) -> float:
    """Probability of at least so many hits (binomial distribution)."""
    return sum(math.comb(outlines, k) * share**k * (1 - share) ** (outlines - k) for k in range(hits, outlines + 1))
