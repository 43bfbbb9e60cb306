"""Find folds of tissue: long bands in which two layers lie on each other, and absorb what both absorb."""

from __future__ import annotations

import cv2
import numpy as np

from nephroscale.slides.stain import channel_densities
from nephroscale.slides.tissue import TissueMask, estimate_white_point

DENSER = 1.4  # optical density in each channel, in medians of the slide's tissue; two layers have 1.6 to 1.7
SMOOTH_UM = 10  # nuclei, lumens and fibres are averaged away
WIDTH_UM = (16, 100)
LENGTH_UM = 100
SLENDER = 0.4  # largest width by length: glomeruli are round
FAINT = 0.05  # least median density that is compared with


def find_folds(rgb: np.ndarray, valid: np.ndarray, mask: TissueMask, mpp: float) -> np.ndarray:
    """Find folds by the slide's own tissue.

    A dense dye absorbs in one or two channels (a red tubule in Masson), while a second layer absorbs in all. Dense
    epithelium and broad infiltrates do too; what is broad or short is therefore left out.

    Parameters
    ----------
    rgb
        uint8 [h, w, 3], an OM slide at about 8 µm per pixel.
    valid
        bool [h, w], pixels that the file has.
    mask
        Tissue and pen marks.
    mpp
        µm per pixel.

    Returns
    -------
    numpy.ndarray
        bool [h, w], within the tissue.

    References
    ----------
    Kothari et al, Eliminating tissue-fold artifacts in histopathological whole-slide images, J Pathol Inform 4:22
    (2013): thresholds that adapt to the slide; there of saturation and intensity, here of densities.
    """
    found = np.zeros(mask.tissue.shape, bool)
    if not mask.tissue.any():
        return found
    least = np.full(found.shape, np.inf, np.float32)
    for sharp in channel_densities(rgb, estimate_white_point(rgb, valid & ~mask.pen)):
        density = cv2.GaussianBlur(sharp, (0, 0), SMOOTH_UM / mpp)
        least = np.minimum(least, density / max(float(np.median(density[mask.tissue])), FAINT))
    dense = (least > DENSER) & mask.tissue & ~mask.pen
    side = max(2, round(WIDTH_UM[0] / mpp))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE if side > 2 else cv2.MORPH_RECT, (side, side))
    opened = cv2.morphologyEx(dense.astype(np.uint8), cv2.MORPH_OPEN, kernel)
    _, labels = cv2.connectedComponents(opened, connectivity=8)
    length, width = _sides(labels)
    kept = (length >= LENGTH_UM / mpp) & (width <= WIDTH_UM[1] / mpp) & (width <= SLENDER * length)
    kept[0] = False
    return np.asarray(kept[labels])


def _sides(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Length of each numbered region, that of a bar with its largest second moment, and width: area by length."""
    y, x = np.nonzero(labels)
    number = labels[y, x]
    count = int(labels.max()) + 1

    def mean(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.bincount(number, values, count) / area)

    area = np.maximum(np.bincount(number, minlength=count), 1)
    right, down = mean(x), mean(y)
    xx, yy = (mean(places.astype(np.float64) ** 2) - middle**2 + 1 / 12 for places, middle in ((x, right), (y, down)))
    xy = mean(x.astype(np.float64) * y) - right * down
    largest = (xx + yy) / 2 + np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    length = np.sqrt(12 * largest)
    return length, area / length
