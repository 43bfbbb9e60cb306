"""Fill the marks of TEM images so that no instance shows where they were."""

from __future__ import annotations

import cv2
import numpy as np

from nephroscale.tem.shapes import dilated, label_shapes

RING = 5  # pixels round a mark by which a likely place is chosen
SAMPLES = 400  # pixels of a ring, and of a mark, that are compared
BLOCK = 8  # pixels; tissue is copied by whole blocks of JPEG, so that its grain fits
STEPS = 9  # places looked at in each direction
SMOOTH = 3.0  # pixels; what is coarser is fitted to the place


def fill_marks(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Fill each mark with the tissue of the place beside it whose surroundings are most alike.

    Inpainting alone leaves smooth patches, by which a network finds where marks were. The difference of the inpainted
    mark and of the equally inpainted place, smoothed, fits the coarse grey levels.

    Parameters
    ----------
    image
        uint8 [h, w].
    mask
        bool [h, w], pixels of marks.

    References
    ----------
    Telea, "An image inpainting technique based on the fast marching method", Journal of Graphics Tools 9 (2004).
    Criminisi, Pérez, Toyama, "Region filling and object removal by exemplar-based image inpainting", IEEE Transactions
    on Image Processing 13 (2004).
    """
    result = image.copy()
    labels, stats = label_shapes(mask)
    for index, (x, y, w, h, _area) in enumerate(stats[1:].tolist(), start=1):
        rows = slice(max(0, y - 16), min(image.shape[0], y + h + 16))
        columns = slice(max(0, x - 16), min(image.shape[1], x + w + 16))
        hole = labels[rows, columns] == index
        filled = _inpainted(result[rows, columns], hole)
        if (offset := _like_place(image, mask, hole, (rows, columns))) is not None:
            place = _shifted(image, (rows, columns), offset)
            coarse = filled.astype(np.float32) - _inpainted(place, hole)
            fitted = place + cv2.GaussianBlur(coarse, (0, 0), SMOOTH)
            filled[hole] = np.clip(np.rint(fitted[hole]), 0, 255).astype(np.uint8)
        result[rows, columns] = filled
    return result


def _inpainted(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    filled: np.ndarray = cv2.inpaint(image, hole.view(np.uint8), 5, cv2.INPAINT_TELEA)
    return filled


def _shifted(image: np.ndarray, window: tuple[slice, slice], offset: tuple[int, int]) -> np.ndarray:
    """Give a window moved by rows and columns; beyond the image, its border is repeated."""
    lines = (np.arange(side.start, side.stop) + step for side, step in zip(window, offset, strict=True))
    at = [np.clip(line, 0, side - 1) for line, side in zip(lines, image.shape, strict=True)]
    shifted: np.ndarray = np.ascontiguousarray(image[np.ix_(*at)])
    return shifted


def _like_place(
    image: np.ndarray, mask: np.ndarray, hole: np.ndarray, window: tuple[slice, slice]
) -> tuple[int, int] | None:
    """Find by how many rows and columns a place without marks is away whose ring is most like that of a mark.

    Levels are compared but for their mean. None where every place has marks.
    """
    corner = np.array([window[0].start, window[1].start])
    ring = dilated(hole, RING) & ~hole & ~mask[window]
    around, inside = (_some(np.argwhere(part) + corner) for part in (ring, hole))
    if not len(around):
        return None
    outer = np.argwhere(dilated(hole, RING)) + corner
    first, last = outer.min(axis=0), outer.max(axis=0)
    span = np.ceil((last - first + 1) / BLOCK).astype(int)
    steps = [BLOCK * np.unique(np.linspace(-2 * n - 3, 2 * n + 3, 2 * STEPS + 1).round().astype(int)) for n in span]
    offsets = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 2)
    fits = ((first + offsets >= 0) & (last + offsets < image.shape)).all(axis=1)
    offsets = offsets[fits & (offsets != 0).any(axis=1)]
    free = [not mask[tuple((inside + offset).T)].any() for offset in offsets]
    offsets = offsets[np.array(free, bool)]
    if not len(offsets):
        return None
    own = image[tuple(around.T)].astype(np.int64)
    at = around[None] + offsets[:, None]
    away = image[at[..., 0], at[..., 1]].astype(np.int64) - own
    away[mask[at[..., 0], at[..., 1]]] = 255
    unlike = len(own) * (away**2).sum(axis=1) - away.sum(axis=1) ** 2
    row, column = offsets[int(np.argmin(unlike))].tolist()
    return row, column


def _some(places: np.ndarray) -> np.ndarray:
    return places[:: max(1, len(places) // SAMPLES)]
