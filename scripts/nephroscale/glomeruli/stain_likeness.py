"""How like the colours of a slide are to those of the slides that the segmenter was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from nephroscale.glomeruli.tile_view import TileView
from nephroscale.slides.tile_status import TileStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nephroscale.slides.tile_reader import Tiles

COLOUR_MPP = 8.0  # scale at which colours are compared, µm per pixel
STAINED = 0.15  # least optical density of a pixel that is counted, sum of R, G and B
HUES, STRENGTHS = 20, 8  # steps of the part of red and of blue in the density, and of its logarithm
STRENGTH_STEP = 0.5
ALIKE = 0.75  # least likeness of one stain: of one laboratory it was above 0.9, of two stains at most 0.73


def describe_colours(tiles: Tiles) -> np.ndarray:
    """Count the colours of stained tissue by hue and strength of the optical density, blurred by a step.

    Parameters
    ----------
    tiles
        Of an OM slide; its scale is known.

    Returns
    -------
    numpy.ndarray
        float32 [hues, hues, strengths] with the sum 1, or 0 where nothing is stained.
    """
    coarse = TileView.at_scale(tiles, COLOUR_MPP)
    glass = np.log(np.maximum(coarse.glass, 1).astype(np.float32))
    counts = np.zeros((HUES, HUES, STRENGTHS))
    for window in coarse.windows(1024):
        tissue = coarse.status[window.y : window.y + window.h, window.x : window.x + window.w] == TileStatus.TISSUE
        density = np.maximum(glass - np.log(np.maximum(coarse.read(window)[tissue], 1)), 0)
        total = density.sum(axis=1)
        density, total = density[total > STAINED], total[total > STAINED]
        places = np.column_stack(
            [
                HUES * density[:, 0] / total,
                HUES * density[:, 2] / total,
                np.minimum(np.log(total / STAINED) / STRENGTH_STEP, STRENGTHS - 1),
            ]
        )
        counts += np.histogramdd(places, counts.shape, [(0, HUES), (0, HUES), (0, STRENGTHS)])[0]
    blurred = ndimage.gaussian_filter(counts, 1.0, mode="constant")
    return np.asarray(blurred / max(float(blurred.sum()), 1e-9), np.float32)


def likeness(colours: np.ndarray, known: Iterable[np.ndarray]) -> float:
    """Compute the largest Bhattacharyya coefficient of the colours of a slide and those of known slides.

    Parameters
    ----------
    colours, known
        By :func:`describe_colours`.

    References
    ----------
    Bhattacharyya, Bull Calcutta Math Soc 35 (1943); as a likeness of colours: Comaniciu et al., IEEE TPAMI 25 (2003).
    """
    return max((float(np.sqrt(colours * one).sum()) for one in known), default=0.0)
