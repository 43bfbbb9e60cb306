"""A perceptual hash of an image: equal or nearly so for copies of other size, format or compression."""

from __future__ import annotations

import numpy as np

from nephroscale.slides.readers.base import SlideReader
from nephroscale.slides.slide_view import SlideView

SIDE = 16  # frequencies along each side that make up the hash
CELLS = 4 * SIDE
OVERVIEW_PX = 256  # shortest side of the overview, at least


def perceptual_hash(reader: SlideReader) -> str | None:
    """Hash what an image shows (pHash: the signs of its lowest cosine frequencies about their median).

    Parameters
    ----------
    reader
        An open image.

    Returns
    -------
    str or None
        256 bits as 64 hexadecimal digits; None for an image without content, whose overview has one grey level.
    """
    factor = min(reader.width, reader.height) / OVERVIEW_PX
    finer = [down for down in reader.downsamples if down <= factor] or [1.0]
    # Whole squares of a level's pixels are averaged in integers, to the same bytes on every processor.
    overview = SlideView(reader, finer[-1] * 2 ** int(np.log2(max(1.0, factor / finer[-1])))).overview()
    if not overview.valid.any():
        return None
    grey = overview.pixels.mean(-1, dtype=np.float64)
    seen = grey[overview.valid]
    if seen.min() == seen.max():
        return None
    grey[~overview.valid] = seen.mean()
    return _hash_cells(_cells_of(grey.shape[0]) @ grey @ _cells_of(grey.shape[1]).T)


def hash_turned(grey: np.ndarray) -> list[str]:
    """Hash a picture as it is, and rotated by right angles and mirrored.

    Parameters
    ----------
    grey
        [h, w] with more than one level.

    Returns
    -------
    list of str
        Eight hashes: as it is, and rotated by 90, 180 and 270 degrees; then the same of the mirrored picture. Those
        at even places have the proportions of the picture, the others those of the transposed one.
    """
    cells = _cells_of(grey.shape[0]) @ grey.astype(np.float64) @ _cells_of(grey.shape[1]).T
    turned = [np.rot90(cells, turns) for turns in range(4)]
    mirrored = [np.rot90(cells[:, ::-1], turns) for turns in range(4)]
    return [_hash_cells(each) for each in (*turned, *mirrored)]


def _hash_cells(cells: np.ndarray) -> str:
    from scipy.fft import dctn  # slow to import, and every start of a run imports this module

    frequencies = dctn(cells / np.ptp(cells), norm="ortho")[:SIDE, :SIDE].ravel()
    frequencies[0] = 0.0  # the mean brightness
    frequencies = np.round(frequencies, 6)  # beyond this the digits differ between processors
    return np.packbits(frequencies > np.median(frequencies)).tobytes().hex()


def _cells_of(length: int) -> np.ndarray:
    """Weights [cells, length] of the mean over each of equally long stretches."""
    edges = np.linspace(0, length, CELLS + 1)
    pixels = np.arange(length)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.asarray(np.clip(covered, 0, None) * CELLS / length)
