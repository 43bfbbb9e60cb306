"""Pixels as the segmenter reads them: of OM as they are, of IM as if the dye absorbed light."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nephroscale.glomeruli.tile_view import GLASS, TileView
from nephroscale.slides.tile_status import TileStatus

if TYPE_CHECKING:
    from collections.abc import Callable

BRIGHTEST_MPP = 8.0  # scale at which the brightest tissue is measured, µm per pixel
BRIGHTEST = 99.5  # percentile of the tissue's intensities
DENSITY = 1.5  # optical density of an intensity at this percentile


def pixel_conversion(view: TileView) -> Callable[[np.ndarray], np.ndarray]:
    """Give the function that converts pixels of a view to what the segmenter reads.

    The intensity of a dye becomes an optical density, so that background has the level of glass, and a change of
    exposure is one of concentration. Intensities are divided by that of the brightest tissue of the slide, since
    their unit means nothing if the exposure is unknown.

    Parameters
    ----------
    view
        A slide whose scale is known.

    Returns
    -------
    callable
        From pixels of the view [h, w, c] to uint8 [h, w, c]: three channels in OM, one in IM.
    """
    if view.bright:
        return lambda pixels: pixels
    coarse = TileView.at_scale(view.tiles, BRIGHTEST_MPP)
    tissue = coarse.whole()[coarse.status == TileStatus.TISSUE]
    brightest = max(1.0, float(np.percentile(tissue, BRIGHTEST))) if tissue.size else 1.0
    levels = np.rint(GLASS * np.exp(-DENSITY * np.arange(2**16) / brightest)).astype(np.uint8)
    return lambda pixels: levels[pixels]
