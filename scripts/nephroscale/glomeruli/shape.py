"""Shape of a glomerulus in a mask: round, and convex without the horns and notches of a segmentation."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

MIN_SOLIDITY = 0.85  # area by that of the convex hull
MAX_ELONGATION = 2.2
HORN = 0.3  # parts narrower than twice this part of the radius are no part of a glomerulus


def disc(radius: int) -> np.ndarray:
    """Draw a disc, uint8 [2 * radius + 1, 2 * radius + 1]."""
    return (np.hypot(*np.ogrid[-radius : radius + 1, -radius : radius + 1]) <= radius).astype(np.uint8)


def to_convex(mask: np.ndarray) -> np.ndarray:
    """Take the convex hull: a tuft in its capsule is convex, but lobules at its rim leave notches.

    Parameters
    ----------
    mask
        bool [h, w], not empty.
    """
    hull = cv2.convexHull(np.argwhere(mask)[:, ::-1].astype(np.int32))
    return cv2.fillConvexPoly(mask.astype(np.uint8), hull, 1) > 0


def is_round(mask: np.ndarray, min_solidity: float = MIN_SOLIDITY, max_elongation: float = MAX_ELONGATION) -> bool:
    """Decide whether a region is convex and not elongated.

    Parameters
    ----------
    mask
        bool [h, w].
    min_solidity
        Least area by that of the convex hull.
    max_elongation
        Largest ratio of the sides of the smallest rectangle around it.
    """
    points = np.argwhere(mask).astype(np.int32)
    if len(points) < 9:
        return False
    hull = cv2.contourArea(cv2.convexHull(points[:, ::-1]))
    (_, (a, b), _) = cv2.minAreaRect(points[:, ::-1])
    return len(points) >= min_solidity * hull and max(a, b) + 1 <= max_elongation * (min(a, b) + 1)


def without_horns(mask: np.ndarray) -> np.ndarray:
    """Fill holes, and keep the largest part of a region that is left without parts narrower than its radius.

    Parameters
    ----------
    mask
        bool [h, w]; at its borders the region is thought to go on.
    """
    filled = ndimage.binary_fill_holes(mask)
    ball = max(1, round(HORN * float(np.sqrt(filled.sum() / np.pi))))
    padded = np.pad(filled, ball, mode="edge").astype(np.uint8)
    opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, disc(ball))[ball:-ball, ball:-ball]
    labels, count = ndimage.label(opened)
    return np.asarray(labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:])) if count else opened > 0)
