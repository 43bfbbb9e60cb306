"""Stain vectors by the method of Vahadane: optical densities as a few non-negative amounts of two dyes."""

from __future__ import annotations

import numpy as np

from nephroscale.slides.stain import DENSITY, DENSITY_FLOOR, MacenkoFit, fit_macenko, judge_stains

PIXELS = 40_000
SPARSITY = 0.1
ROUNDS = 200
SWEEPS = 4  # of the amounts of both dyes in each round
TOLERANCE = 1e-5  # largest change of a stain vector's element at which the rounds end


def fit_vahadane(rgb: np.ndarray, white: tuple[float, ...] = (255.0, 255.0, 255.0)) -> MacenkoFit:
    """Fit the two stain vectors of a sample of tissue.

    The vectors W and the amounts H, none of them negative, minimise ||V - W H||² / 2 + 0.1 |H|, where V are optical
    densities and the columns of W have unit length. It begins with Macenko's vectors, and changes H and W in turn.

    Parameters
    ----------
    rgb
        uint8 [n, 3], pixels of tissue, of which at most 40,000 are used.
    white
        R, G and B of empty glass, 1 to 255, where the optical density is zero.

    Returns
    -------
    MacenkoFit
        Applied as a fit by Macenko.

    References
    ----------
    Vahadane et al, Structure-preserving color normalization and sparse stain separation for histological images,
    IEEE Trans Med Imaging 35:1962 (2016), equation 4; updates of W as in Mairal et al, Online learning for matrix
    factorization and sparse coding, JMLR 11:19 (2010), algorithm 2.
    """
    first = fit_macenko(rgb, white)
    if first.matrix is None:
        return first
    density = DENSITY[rgb].astype(np.float64) + np.log(np.asarray(first.white) / 255)
    stained = density[(density > DENSITY_FLOOR).all(1)]
    sample = stained[:: max(1, -(-len(stained) // PIXELS))].T
    vectors = np.maximum(first.matrix, 0.0)
    vectors /= np.linalg.norm(vectors, axis=0)
    amounts = np.zeros((2, sample.shape[1]))
    for _ in range(ROUNDS):
        before = vectors.copy()
        overlap, wanted = vectors.T @ vectors, vectors.T @ sample - SPARSITY
        for _ in range(SWEEPS):
            for dye, other in ((0, 1), (1, 0)):
                amounts[dye] = np.maximum(wanted[dye] - overlap[dye, other] * amounts[other], 0)
        square, product = amounts @ amounts.T, sample @ amounts.T
        for dye in (0, 1):
            if square[dye, dye] > 0:
                moved = vectors[:, dye] + (product[:, dye] - vectors @ square[:, dye]) / square[dye, dye]
                moved = np.maximum(moved, 0)
                vectors[:, dye] = moved / max(float(np.linalg.norm(moved)), 1e-9)
        if np.abs(vectors - before).max() < TOLERANCE:
            break
    return judge_stains(vectors, stained, first.white)
