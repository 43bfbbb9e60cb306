"""The tint of a print from place to place: stains, and paper that has yellowed unevenly.

A stain fades over many pixels, and what was drawn has a border of a few. A tint that changes smoothly is therefore
fitted to the picture; what is off it as well was drawn.
"""

from __future__ import annotations

import cv2
import numpy as np

STEP = 2  # every second pixel of every second row is fitted
BLOCK = 4  # of these; the tint is known for each block
REACH = 1.5  # blocks, standard deviation of the surroundings that count
ROUNDS = 7
NEAR = 6.0  # levels of 255; pixels farther from the tint count little
PICTURE = 0.02  # weight of the picture's tint, in pixels on it; this limits the colour of a stain to about 70 levels
FLAT = 8.0  # levels; where luma scatters less, the colour does not depend on it
LEVELS = (1, 2, 4)  # times the least distance, at which shapes are looked for
ALIKE = 0.75  # of the mean distance of a shape; pixels below it do not belong to it
ALL_ROUND = 0.5  # of the border of a shape is sharp: all of it was drawn


def distance_from_surroundings(luma: np.ndarray, colours: np.ndarray, scale: float) -> np.ndarray:
    """Distance of each pixel's colour from a tint that changes smoothly over the picture.

    The tint of a place is a straight line over luma. Each round fits it to what is left, with weights by which pixels
    that are far from it count little.

    Parameters
    ----------
    luma
        float32 [h, w], in the units of the picture.
    colours
        float32 [h, w, 3], chroma beyond that of the picture's tint.
    scale
        One level of 255, in the units of the picture.

    Returns
    -------
    numpy.ndarray
        float32 [h, w], in the units of the picture.
    """
    height, width = luma.shape
    whole = [-(-side // (STEP * BLOCK)) for side in luma.shape]
    missing = [BLOCK * count - -(-side // STEP) for count, side in zip(whole, luma.shape, strict=True)]
    levels = np.pad(luma[::STEP, ::STEP] / scale, [(0, lines) for lines in missing])
    left = np.pad(colours[::STEP, ::STEP] / scale, [*((0, lines) for lines in missing), (0, 0)])
    there = np.pad(np.ones([-(-side // STEP) for side in luma.shape], np.float32), [(0, lines) for lines in missing])
    offset, slope = (np.zeros((*whole, 3), np.float32) for _ in range(2))
    for _ in range(ROUNDS):
        weights = there / (1 + (left * left).sum(axis=-1) / NEAR**2)
        weighted = weights * levels
        total, mean, square = (_around(each, whole) for each in (weights, weighted, weighted * levels))
        total += PICTURE
        mean /= total
        spread = square / total - mean**2 + FLAT**2
        for channel in range(3):
            colour = _around(weights * left[..., channel], whole) / total
            with_luma = _around(weighted * left[..., channel], whole) / total
            steep = (with_luma - mean * colour) / spread
            fitted = colour - mean * steep
            left[..., channel] -= _over(fitted, levels.shape) + levels * _over(steep, levels.shape)
            offset[..., channel] += fitted
            slope[..., channel] += steep
    squares = np.zeros(luma.shape, np.float32)
    for channel in range(3):
        shape = [STEP * side for side in levels.shape]
        tint = scale * _over(offset[..., channel], shape)[:height, :width]
        tint += luma * _over(slope[..., channel], shape)[:height, :width]
        squares += (colours[..., channel] - tint) ** 2
    return np.sqrt(squares)


def _around(values: np.ndarray, blocks: list[int]) -> np.ndarray:
    """Average values [h, w] over the blocks and their surroundings."""
    means = cv2.resize(values, blocks[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(means, (0, 0), REACH))


def _over(values: np.ndarray, shape: tuple[int, ...] | list[int]) -> np.ndarray:
    """Interpolate values of the blocks."""
    return np.asarray(cv2.resize(values, tuple(shape)[::-1], interpolation=cv2.INTER_LINEAR))


def keep_shapes(apart: np.ndarray, beyond: np.ndarray, least: float) -> np.ndarray:
    """Give shapes with a sharp border their distance from the picture's tint, and all else that from its surroundings.

    The inside of a large shape is taken for the tint of its surroundings. On a stain, a shape is seen at a distance
    that the stain does not have.

    Parameters
    ----------
    apart
        float32 [h, w], distance from the picture's tint.
    beyond
        float32 [h, w], distance from the tint of the surroundings.
    least
        Distance from which on a pixel was drawn.

    Returns
    -------
    numpy.ndarray
        float32 [h, w].
    """
    distance, sharp = beyond.copy(), beyond > least
    for level in LEVELS:
        shapes = (apart > level * least).view(np.uint8)
        count, labels = cv2.connectedComponents(shapes, connectivity=8)
        border = cv2.erode(shapes, np.ones((3, 3), np.uint8)) < shapes
        lengths = np.bincount(labels[border], minlength=count)
        known = np.bincount(labels[border & sharp], minlength=count)
        drawn = known >= ALL_ROUND * np.maximum(lengths, 1)
        places = np.flatnonzero(shapes)  # few
        names, values = labels.ravel()[places], apart.ravel()[places]
        typical = np.bincount(names, values, minlength=count) / np.maximum(np.bincount(names, minlength=count), 1)
        whole = drawn[names] & (values >= ALIKE * typical[names])  # a stain may touch a mark
        distance.ravel()[places[whole]] = values[whole]
    return distance
