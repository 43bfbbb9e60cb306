"""Serial sections on one slide: the same glomeruli, cut several times."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nephroscale.glomeruli.contours import Glomerulus
    from nephroscale.slides.tile_reader import Tiles

JOIN_UM = 300.0  # pieces of tissue that are nearer are one section, torn


class SectionCount(NamedTuple):
    """Number of sections with glomeruli, and numbers of glomeruli and of sclerosed ones in the fullest section."""

    sections: int
    fullest: int
    sclerosed: int


def count_by_section(tiles: Tiles, glomeruli: Sequence[Glomerulus]) -> SectionCount:
    """Count glomeruli by section; a section is a connected piece of tissue in the slide's mask.

    A slide without scale or mask is one section.

    Parameters
    ----------
    tiles
        Opened tiles.
    glomeruli
        Of the slide, at least one.
    """
    tissue = tiles.tissue
    if tiles.mpp is None or not tissue.any():
        return SectionCount(1, len(glomeruli), sum(one.is_sclerosed for one in glomeruli))
    height, width = tissue.shape
    um_per_px = tiles.slide_px[0] / width * tiles.mpp / tiles.raw_px[0]
    away = cv2.distanceTransform((~tissue).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    joined = (away * um_per_px <= JOIN_UM / 2).astype(np.uint8)
    _, pieces = cv2.connectedComponents(joined, connectivity=8)
    places = np.array([one.centre for one in glomeruli]) / tiles.slide_px * (width, height)
    x, y = np.clip(places.astype(int), 0, (width - 1, height - 1)).T
    names, counts = np.unique(pieces[y, x], return_counts=True)
    sclerosed = np.array([one.is_sclerosed for one in glomeruli])
    fullest = names[np.argmax(counts)]
    return SectionCount(len(counts), int(counts.max()), int(sclerosed[pieces[y, x] == fullest].sum()))
