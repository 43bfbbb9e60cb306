"""A small network that distinguishes drawn pixels of a TEM image from imaged ones: text and lines of any grey.

It was fitted on marks drawn on the demo's micrographs, drawn textures and photographs (`resources/grey_marks`). It is a
U-Net of three levels on squares of 2 x 2 pixels, computed by matrix products, so that the stage needs no PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from safetensors.numpy import load_file
from threadpoolctl import threadpool_limits

from nephroscale.tem.screen import Levels
from nephroscale.tem.shapes import spread_of, square
from nephroscale.tem.survey import PALE_END

WEIGHTS = Path(__file__).with_name("marks.safetensors")
LIKELY, LEAST = 0.0, 12  # logit of the pixels of a group, and their number
SURE, LEAST_SURE = 2.0, 16  # the same of at least one mark of an image: membranes of tissue have fewer such pixels
THICKEST = 14  # pixels from the middle of a group to its edge; holes and empty resin are thicker
EVEN, EDGE = 4, 5  # range of the levels among neighbours in an even area, and pixels of its edge
LONGEST = 2048  # pixels of the longer side from which on an image is looked at at half its resolution
STEP = 8  # pixels of a place at the coarsest level
BAND, HALO = 1_000_000, 56  # pixels that are looked at at once, and rows beyond them that matter to them
AROUND, GAIN = 7, np.float32(5)  # pixels of the surroundings, and weight of the difference from them
AT_ONCE = 120_000  # values of neighbourhoods that are multiplied at once and stay in the processor's cache

Layers = Mapping[str, np.ndarray]


def find_drawn(levels: Levels) -> np.ndarray:
    """Find drawn pixels by the network.

    Parameters
    ----------
    levels
        Of the image. Where tissue is white or black, nothing as white or black is looked for.

    Returns
    -------
    numpy.ndarray
        bool [h, w], thin groups of likely pixels; none unless one group is sure.
    """
    image = levels.image
    height, width = image.shape
    large = max(image.shape) > LONGEST
    look = cv2.resize(image, (-(-width // 2), -(-height // 2)), interpolation=cv2.INTER_AREA) if large else image
    logits = compute_logits(look, load_layers())
    white, black = levels.saturated
    if white or black:
        logits[cv2.inRange(look, PALE_END + 1 if black else 0, 254 - PALE_END if white else 255) == 0] = -np.inf
    even = cv2.erode((spread_of(look) <= EVEN).view(np.uint8), square(THICKEST))
    if even.any():
        logits[cv2.dilate(even, square(THICKEST + EDGE)) > 0] = -np.inf
    likely = (logits > LIKELY).view(np.uint8)
    number, labels = cv2.connectedComponents(likely, connectivity=8)
    thick = np.unique(labels[cv2.erode(likely, square(THICKEST)) > 0])
    area, sure = (np.bincount(labels[logits > limit], minlength=number) for limit in (LIKELY, SURE))
    for counts in (area, sure):
        counts[0] = counts[thick] = 0
    if sure.max() < LEAST_SURE:
        return np.zeros(image.shape, bool)
    found: np.ndarray = (area >= LEAST)[labels]
    return found.repeat(2, axis=0).repeat(2, axis=1)[:height, :width] if large else found


@cache
def load_layers() -> Layers:
    """Weights and biases of the layers, float32."""
    return load_file(WEIGHTS)


def compute_logits(image: np.ndarray, layers: Layers) -> np.ndarray:
    """Compute how likely each pixel was drawn, on one thread: for matrices this small, more take several times as long.

    Parameters
    ----------
    image
        uint8 [h, w].
    layers
        Weights and biases.

    Returns
    -------
    numpy.ndarray
        float32 [h, w], logits.

    References
    ----------
    Ronneberger, Fischer, Brox, "U-Net: convolutional networks for biomedical image segmentation", MICCAI 2015.
    """
    height, width = image.shape
    padded = cv2.copyMakeBorder(image, 0, -height % STEP, 0, -width % STEP, cv2.BORDER_REPLICATE)
    result = np.empty(padded.shape, np.float32)
    rows = STEP * max(1, BAND // (STEP * padded.shape[1]))
    with threadpool_limits(1, user_api="blas"):
        for start in range(0, len(padded), rows):
            stop = min(len(padded), start + rows)
            first, last = max(0, start - HALO), min(len(padded), stop + HALO)
            result[start:stop] = _forward(padded[first:last], layers)[start - first : stop - first]
    return result[:height, :width]


def inputs_of(image: np.ndarray) -> np.ndarray:
    """Give the levels of an image, about -1 to 1, and by how much they are above those around: float32 [2, h, w]."""
    levels = image.astype(np.float32) / np.float32(127.5) - np.float32(1)
    around = cv2.blur(levels, (AROUND, AROUND), borderType=cv2.BORDER_REFLECT)
    return np.stack([levels, GAIN * (levels - around)])


def _forward(image: np.ndarray, layers: Layers) -> np.ndarray:
    """Logits of a band whose sides are multiples of `STEP`."""
    height, width = image.shape
    squares = inputs_of(image).reshape(2, height // 2, 2, width // 2, 2).transpose(0, 2, 4, 1, 3)
    fine = squares.reshape(8, height // 2, width // 2)
    for name in ("first.0", "first.1"):
        fine = _convolve(fine, layers, name)
    middle = _convolve(_convolve(fine, layers, "second.0", step=2), layers, "second.1")
    coarse = _convolve(_convolve(middle, layers, "third.0", step=2), layers, "third.1")
    coarse = _convolve(coarse, layers, "third.2", dilation=2)
    middle = _convolve(np.concatenate([_doubled(coarse), middle]), layers, "join_second")
    fine = _convolve(np.concatenate([_doubled(middle), fine]), layers, "join_first")
    last: np.ndarray = layers["last.weight"].reshape(4, -1) @ fine.reshape(len(fine), -1) + layers["last.bias"][:, None]
    return last.reshape(2, 2, height // 2, width // 2).transpose(2, 0, 3, 1).reshape(height, width)


def _convolve(values: np.ndarray, layers: Layers, name: str, *, step: int = 1, dilation: int = 1) -> np.ndarray:
    """Convolve maps [channels, h, w] with filters of 3 x 3, padded by zeros; negative values become 0."""
    weight, bias = layers[f"{name}.weight"], layers[f"{name}.bias"]
    channels, height, width = len(values), values.shape[1] // step, values.shape[2] // step
    padded = np.pad(values, ((0, 0), (dilation, dilation), (dilation, dilation)))
    by_channel, by_row, by_column = padded.strides
    around = np.lib.stride_tricks.as_strided(
        padded,
        (channels, 3, 3, height, width),
        (by_channel, dilation * by_row, dilation * by_column, step * by_row, step * by_column),
        writeable=False,
    )
    matrix = weight.reshape(len(weight), -1)
    result = np.empty((len(weight), height, width), np.float32)
    rows = max(1, AT_ONCE // (9 * channels * width))
    for row in range(0, height, rows):
        part = around[..., row : row + rows, :]
        products = matrix @ part.reshape(9 * channels, -1)
        products += bias[:, None]
        result[:, row : row + rows] = np.maximum(products, 0, out=products).reshape(len(weight), -1, width)
    return result


def _doubled(values: np.ndarray) -> np.ndarray:
    return values.repeat(2, axis=1).repeat(2, axis=2)
