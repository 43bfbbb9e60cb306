"""Few outlines beside the glomeruli: doubtful where another place explains them much better.

One to three outlines are too few for the test of :mod:`.placement`, whose blobs are common. Contours of the classical
detector are rare, and an outline in its place overlaps one of them largely. Where no outline does, but each would after
one simple change of the coordinates, the change is named, unless this may well be chance. The chance is the share of
the tissue where an outline would overlap a contour as much, to the power of the number of outlines, times the number of
changes. For one outline on a small field it is too large, whatever the change.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from shapely.geometry import Polygon

from nephroscale.glomeruli.classical import FINEST_MPP, detect
from nephroscale.glomeruli.placement import changes_of
from nephroscale.glomeruli.settings import DetectionSettings, OutlineSettings
from nephroscale.glomeruli.tile_view import TileView

FEW = 3  # outlines; more are looked at by :mod:`.placement` as well
MOST = 60
FITS = 0.5  # intersection over union of an outline with the contour of its glomerulus
MISSED = 0.2  # the largest mean of few outlines that lie beside the contours; of more, the share that fits
SHARE_FITTING = 0.5  # of more than a few outlines, after the change
CHANCE = 0.01


class _Discs(NamedTuple):
    """Discs of the areas of outlines or contours: y, x [n, 2] and radius [n], pixels."""

    centres: np.ndarray
    radii: np.ndarray


class _Move(NamedTuple):
    """Moved outlines, what the move is called, and how many of them it places by its choice."""

    discs: _Discs
    what: str
    placed: int = 0


def doubtful_placement(view: TileView, outlines: Sequence[Polygon], settings: OutlineSettings) -> str:
    """Say which change would put outlines on glomeruli that lie beside them; empty where nothing shows it.

    Parameters
    ----------
    view
        The slide at any scale.
    outlines
        In raw level-0 pixels.
    settings
        Limits of size.
    """
    if view.mpp is None or not outlines:
        return ""
    view = TileView.at_scale(view.tiles, FINEST_MPP)
    some = outlines[:: -(-len(outlines) // MOST)]
    placed = [view.polygon_from_raw(one) for one in some]
    drawn = _Discs(
        np.array([[one.centroid.y, one.centroid.x] for one in placed]),
        np.sqrt([one.area / math.pi for one in placed]),
    )
    found = _contours(view, settings)
    tissue = view.status > 0 if view.tissue is None else view.tissue
    few = len(some) <= FEW
    if not len(found.radii) or not tissue.any() or min(drawn.radii) < 1:
        return ""
    overlaps = _overlaps(drawn, found)
    fitting = (overlaps >= FITS).mean()
    if fitting > (0 if few else MISSED) or (few and overlaps.mean() >= MISSED):
        return ""
    needed = len(some) if few else math.ceil(SHARE_FITTING * len(some))
    moves = [*_simple_moves(view, some, drawn), *_displacements(view, drawn, found)]
    best, what = 1.0, ""
    for move in moves:
        overlaps = np.sort(_overlaps(move.discs, found))[::-1]
        if overlaps[needed - 1] < FITS:
            continue
        share = _share(move.discs, found, tissue, float(overlaps[needed - 1]))
        tried, free = len(some) - move.placed, needed - move.placed
        chance = sum(math.comb(tried, k) * share**k * (1 - share) ** (tried - k) for k in range(free, tried + 1))
        if chance * len(moves) < best:
            best, what = chance * len(moves), move.what
    if best >= CHANCE:
        return ""
    which = "its outline lies" if len(some) == 1 else f"its {len(outlines)} outlines lie"
    return (
        f"{which} beside what the classical detector takes for glomeruli, but would lie on it if {what}: look whether "
        "the annotation is in pixels of full resolution, counted from the corner of the slide"
    )


def _contours(view: TileView, settings: OutlineSettings) -> _Discs:
    """Find the contours of the classical detector."""
    limits = DetectionSettings(min_diameter_um=settings.min_diameter_um, max_diameter_um=settings.max_diameter_um)
    mask = detect(view, None, limits).glomerulus > 0
    regions, count = ndimage.label(mask)
    numbers = np.arange(1, count + 1)
    areas = ndimage.sum_labels(mask, regions, numbers)
    return _Discs(np.array(ndimage.center_of_mass(mask, regions, numbers)).reshape(-1, 2), np.sqrt(areas / math.pi))


def _simple_moves(view: TileView, outlines: Sequence[Polygon], drawn: _Discs) -> Iterator[_Move]:
    middle = float(np.median(drawn.radii))
    for change in changes_of(view, outlines):
        yield _Move(_Discs(change.centres, drawn.radii * (change.radius / middle)), f"they were {change.what}")


def _displacements(view: TileView, drawn: _Discs, found: _Discs) -> Iterator[_Move]:
    """Displace two or more outlines so that one of them lies on a contour."""
    along = view.ratio * np.asarray(view.tiles.raw_px)
    for number in range(len(drawn.radii) if len(drawn.radii) > 1 else 0):
        for centre in found.centres:
            shift = centre - drawn.centres[number]
            x, y = (round(float(value), -1) for value in -shift[::-1] * along)
            what = f"they were displaced by about {x:.0f} pixels along x and {y:.0f} along y"
            yield _Move(_Discs(drawn.centres + shift, drawn.radii), what, 1)


def _overlaps(discs: _Discs, found: _Discs) -> np.ndarray:
    """Give for each disc the largest intersection over union with one that was found, [n]."""
    away = np.linalg.norm(discs.centres[:, None] - found.centres[None], axis=-1)
    return np.asarray(_overlap(discs.radii[:, None], found.radii[None], away).max(axis=1))


def _overlap(one: np.ndarray, other: np.ndarray, away: np.ndarray) -> np.ndarray:
    """Intersection over union of two discs by their radii and the distance of their centres."""
    small, large = np.minimum(one, other), np.maximum(one, other)
    apart = np.clip(away, large - small + 1e-9, one + other)
    angle_s = np.arccos(np.clip((apart**2 + small**2 - large**2) / (2 * apart * small), -1, 1))
    angle_l = np.arccos(np.clip((apart**2 + large**2 - small**2) / (2 * apart * large), -1, 1))
    shared = small**2 * (angle_s - np.sin(2 * angle_s) / 2) + large**2 * (angle_l - np.sin(2 * angle_l) / 2)
    return np.asarray(shared / (np.pi * (small**2 + large**2) - shared))


def _share(discs: _Discs, found: _Discs, tissue: np.ndarray, least: float) -> float:
    """Share of the tissue where a disc of the mean size overlaps a contour by at least so much."""
    radius = np.full(1, float(np.mean(discs.radii)))
    y, x = np.nonzero(tissue)
    hit = np.zeros(len(y), bool)
    for (row, column), size in zip(found.centres, found.radii, strict=True):
        away = np.hypot(y - row, x - column)
        near = away < radius + size
        hit[near] |= _overlap(radius, np.full(1, size), away[near]) >= least
    return max(float(hit.mean()), 1 / len(y))
