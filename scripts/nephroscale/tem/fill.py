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
LONG, PIECE = 0.4, 64  # share of the image's side from which on a mark is filled in pieces, and their side in pixels
LEAST_WEIGHT = 1e-6


def fill_marks(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Fill each mark with the tissue of the place beside it whose surroundings are most alike.

    Inpainting alone leaves smooth patches, by which a network finds where marks were. The difference of the two
    surroundings, interpolated smoothly into the mark, fits the coarse grey levels. Where no place has room, the mark is
    inpainted.

    Parameters
    ----------
    image
        uint8 [h, w].
    mask
        bool [h, w], pixels of marks.

    References
    ----------
    Criminisi, Pérez, Toyama, "Region filling and object removal by exemplar-based image inpainting", IEEE Transactions
    on Image Processing 13 (2004).
    Gortler, Grzeszczuk, Szeliski, Cohen, "The lumigraph", SIGGRAPH 1996, section 3.5 (pull and push).
    Telea, "An image inpainting technique based on the fast marching method", Journal of Graphics Tools 9 (2004).
    """
    result = image.copy()
    mask = np.ascontiguousarray(mask)
    labels, stats = _in_pieces(*label_shapes(mask))
    for index, (x, y, w, h, _area) in enumerate(stats[1:].tolist(), start=1):
        if not w:
            continue
        rows = slice(max(0, y - 16), min(image.shape[0], y + h + 16))
        columns = slice(max(0, x - 16), min(image.shape[1], x + w + 16))
        hole, own = labels[rows, columns] == index, result[rows, columns]
        if (offset := _like_place(image, mask, hole, (rows, columns))) is None:
            result[rows, columns] = cv2.inpaint(own, hole.view(np.uint8), 5, cv2.INPAINT_TELEA)
            continue
        place = _shifted(image, (rows, columns), offset)
        known = ~(mask[rows, columns] | _shifted(mask, (rows, columns), offset))
        coarse = _spread_into(np.where(known, own.astype(np.float32) - place, 0), known)
        fitted = place + cv2.GaussianBlur(coarse, (0, 0), SMOOTH)
        own[hole] = np.clip(np.rint(fitted[hole]), 0, 255).astype(np.uint8)
    return result


def _in_pieces(labels: np.ndarray, stats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Label the pieces of marks that are too long, such as frames, to find a like place for the whole."""
    height, width = labels.shape
    long = np.flatnonzero((stats[1:, 2] > LONG * width) | (stats[1:, 3] > LONG * height)) + 1
    if not len(long):
        return labels, stats
    labels, added = labels.copy(), [stats]
    count = len(stats)
    for index in long.tolist():
        x, y, w, h = stats[index, :4].tolist()
        for top in range(y, y + h, PIECE):
            for left in range(x, x + w, PIECE):
                cell = labels[top : min(y + h, top + PIECE), left : min(x + w, left + PIECE)]
                _, parts, found, _ = cv2.connectedComponentsWithStats((cell == index).view(np.uint8), connectivity=8)
                cell[parts > 0] = parts[parts > 0] + count - 1
                added.append(found[1:] + np.array([left, top, 0, 0, 0], np.int32))
                count += len(found) - 1
    # The places of the long marks themselves hold nothing any more.
    kept = np.concatenate(added)
    kept[long, 2:] = 0
    return labels, kept


def _spread_into(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Interpolate values, float32 [h, w], where they are not known, from averages over ever larger areas."""
    weights = known.astype(np.float32)
    levels: list[tuple[np.ndarray, np.ndarray]] = [(values * weights, weights)]
    while min(levels[-1][1].shape) > 1 and (levels[-1][1] == 0).any():
        levels.append((cv2.pyrDown(levels[-1][0]), np.minimum(cv2.pyrDown(levels[-1][1]), 1)))
    total, weights = levels.pop()
    result = total / np.maximum(weights, LEAST_WEIGHT)
    while levels:
        total, weights = levels.pop()
        coarser = cv2.resize(result, total.shape[::-1], interpolation=cv2.INTER_LINEAR)
        result = weights * (total / np.maximum(weights, LEAST_WEIGHT)) + (1 - weights) * coarser
    return np.asarray(result)


def _shifted(image: np.ndarray, window: tuple[slice, slice], offset: tuple[int, int]) -> np.ndarray:
    """Give a window moved by rows and columns; beyond the image, its border is repeated."""
    lines = (np.arange(side.start, side.stop) + step for side, step in zip(window, offset, strict=True))
    at = [np.clip(line, 0, side - 1) for line, side in zip(lines, image.shape, strict=True)]
    return np.ascontiguousarray(image[np.ix_(*at)])


def _like_place(
    image: np.ndarray, mask: np.ndarray, hole: np.ndarray, window: tuple[slice, slice]
) -> tuple[int, int] | None:
    """Find by how many rows and columns a place without marks is away whose ring is most like that of a mark.

    Levels are compared but for their mean. None where every place has marks.
    """
    corner = np.array([window[0].start, window[1].start])
    grown = dilated(hole, RING)
    ring = grown & ~hole & ~mask[window]
    around, inside = (_some(np.argwhere(part) + corner) for part in (ring, hole))
    if not len(around):
        return None
    first, last = np.array([_ends(np.asarray(grown.any(axis=axis))) for axis in (1, 0)]).T + corner
    span = np.ceil((last - first + 1) / BLOCK).astype(int)
    steps = [BLOCK * np.unique(np.linspace(-2 * n - 3, 2 * n + 3, 2 * STEPS + 1).round().astype(int)) for n in span]
    offsets = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 2)
    fits = ((first + offsets >= 0) & (last + offsets < image.shape)).all(axis=1)
    offsets = offsets[fits & (offsets != 0).any(axis=1)]
    width = image.shape[1]
    steps, inner, outer = (each @ np.array([width, 1]) for each in (offsets, inside, around))  # places if flattened
    free = ~mask.ravel()[inner + steps[:, None]].any(axis=1)
    offsets, steps = offsets[free], steps[free]
    if not len(offsets):
        return None
    at = outer + steps[:, None]
    away = image.ravel()[at].astype(np.int64) - image.ravel()[outer].astype(np.int64)
    away[mask.ravel()[at]] = 255
    unlike = len(outer) * (away**2).sum(axis=1) - away.sum(axis=1) ** 2
    row, column = offsets[int(np.argmin(unlike))].tolist()
    return row, column


def _ends(occupied: np.ndarray) -> tuple[int, int]:
    """Give the first and the last place that is set."""
    places = np.flatnonzero(occupied)
    return int(places[0]), int(places[-1])


def _some(places: np.ndarray) -> np.ndarray:
    return places[:: max(1, len(places) // SAMPLES)]
