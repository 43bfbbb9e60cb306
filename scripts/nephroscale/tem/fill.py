"""Fill the marks of TEM images so that no instance shows where they were."""

from __future__ import annotations

import cv2
import numpy as np

from nephroscale.tem.shapes import label_shapes

FINE = 4  # pixels; texture finer than this is copied into filled marks


def fill_marks(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Fill each mark: coarse grey levels by inpainting, and over them the fine texture of tissue beside it.

    Inpainting alone leaves smooth patches, by which a network finds where marks were.

    Parameters
    ----------
    image
        uint8 [h, w].
    mask
        bool [h, w], pixels of marks.

    References
    ----------
    Telea, "An image inpainting technique based on the fast marching method", Journal of Graphics Tools 9 (2004).
    """
    result = image.copy()
    labels, stats = label_shapes(mask)
    for index, (x, y, w, h, _area) in enumerate(stats[1:].tolist(), start=1):
        rows = slice(max(0, y - 16), y + h + 16)
        columns = slice(max(0, x - 16), x + w + 16)
        hole = labels[rows, columns] == index
        coarse = cv2.inpaint(result[rows, columns], hole.view(np.uint8), 5, cv2.INPAINT_TELEA)
        if (donor := _texture_beside(image, mask, (y, x, h, w))) is not None:
            smooth = cv2.GaussianBlur(coarse, (0, 0), FINE)[y - rows.start :, x - columns.start :][:h, :w]
            inner = hole[y - rows.start :, x - columns.start :][:h, :w]
            filled = np.clip(np.rint(smooth + donor), 0, 255).astype(np.uint8)
            coarse[y - rows.start :, x - columns.start :][:h, :w][inner] = filled[inner]
        result[rows, columns] = coarse
    return result


def _texture_beside(image: np.ndarray, mask: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray | None:
    """Find an area of the size of a box, beside it, with the fewest marks; give what is finer than FINE there, [h, w].

    None where every such area is marked to a tenth or more.
    """
    y, x, h, w = box
    height, width = image.shape
    pad = 3 * FINE
    best, found = 0.1, None
    for reach in (1.0, 1.5, 2.5):
        for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)):
            top, left = y + round(down * (h * reach + 12)), x + round(right * (w * reach + 12))
            if top < 0 or left < 0 or top + h > height or left + w > width:
                continue
            marked = float(mask[top : top + h, left : left + w].mean())
            if marked < best:
                best, found = marked, (top, left)
        if found is not None and best == 0:
            break
    if found is None:
        return None
    top, left = found
    above, before = min(pad, top), min(pad, left)
    area = image[top - above : top + h + pad, left - before : left + w + pad].astype(np.float32)
    fine: np.ndarray = (area - cv2.GaussianBlur(area, (0, 0), FINE))[above:, before:][:h, :w]
    return fine
