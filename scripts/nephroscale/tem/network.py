"""A small network that distinguishes drawn pixels of a TEM image from imaged ones: text and lines of any grey.

It was fitted on marks drawn on the demo's micrographs, drawn textures and photographs (`resources/grey_marks`). It is a
U-Net of three levels on squares of 2 x 2 pixels, computed by matrix products, so that the stage needs no PyTorch. A
smaller network, fitted on what this one finds, selects where it has to look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from safetensors.numpy import load_file
from threadpoolctl import threadpool_limits

from nephroscale.tem.screen import Levels
from nephroscale.tem.shapes import spread_of, square

WEIGHTS, SCREEN_WEIGHTS = (Path(__file__).with_name(f"{name}.safetensors") for name in ("marks", "screen"))
LIKELY, LEAST = -1.0, 4  # logit of the pixels of a group, and their number
APART = 4  # pixels by which groups are grown: those that touch then are a word, a dashed line, or parts of an arrow
SURE, MOST = 1.5, 3.0  # logit beyond which pixels are evidence of a mark, and the evidence of one at most
LEAST_OWN, LEAST_TOGETHER = 0.5, 5.0  # evidence of a group, and of those together
LEAST_BEST = 26.0  # the same of at least one mark of an image: some membranes are a little like drawn lines
THICKEST = 14  # pixels from the middle of a group to its edge; holes and empty resin are thicker
LONG = 0.9  # share of the side; longer groups are borders of pictures side by side, or lines that are found otherwise
EVEN, EDGE = 4, 8  # range of the levels among neighbours in an even area, and pixels of its edge
LONGEST = 2048  # pixels of the longer side from which on an image is looked at at half its resolution
STEP = 8  # pixels of a place at the coarsest level
BAND, HALO = 1_500_000, 56  # pixels that are looked at at once, and rows beyond them that matter to them
AROUND, GAIN = 7, np.float32(5)  # pixels of the surroundings, and weight of the difference from them
SCREEN_LIKELY, SCREEN_SURE = -3.0, 0.0  # logit of the blocks of a group, and of one of them at least
SCREEN_HALO = 4  # blocks beyond a band that matter to it
MOST_SCREENED = 0.6  # share of an image from which on it is cheaper to look at all of it
SCREENED, SCREEN_GAIN = 8, np.float32(1 / 25)  # pixels of a block, and weight of the difference for the first network
AT_ONCE = 400_000  # values that are multiplied at once and stay in the processor's cache
MARGIN = 2  # zeros before and after maps, as the largest dilation

Layers = Mapping[str, np.ndarray]


def find_drawn(levels: Levels) -> np.ndarray:
    """Find drawn pixels by the network.

    Parameters
    ----------
    levels
        Of the image.

    Returns
    -------
    numpy.ndarray
        bool [h, w], thin groups of likely pixels; none unless some of them are sure.
    """
    image = levels.image
    height, width = image.shape
    large = max(image.shape) > LONGEST
    look = cv2.resize(image, (-(-width // 2), -(-height // 2)), interpolation=cv2.INTER_AREA) if large else image
    logits = compute_some_logits(look, load_layers())
    even = cv2.erode((spread_of(look) <= EVEN).view(np.uint8), square(THICKEST))
    if even.any():
        logits[cv2.dilate(even, square(THICKEST + EDGE)) > 0] = -np.inf
    likely = (logits > LIKELY).view(np.uint8)
    number, labels, stats = cv2.connectedComponentsWithStats(likely, connectivity=8)[:3]
    places = np.flatnonzero(logits > SURE)
    evidence = np.minimum(logits.ravel()[places] - SURE, MOST)
    own = np.bincount(labels.ravel()[places], weights=evidence, minlength=number)
    fits = (stats[:, 4] >= LEAST) & (own >= LEAST_OWN)
    fits &= (stats[:, 2] < LONG * look.shape[1]) & (stats[:, 3] < LONG * look.shape[0])
    fits[labels[cv2.erode(likely, square(THICKEST)) > 0]] = False
    fits[0] = False
    if own[fits].sum() < LEAST_BEST:
        return np.zeros(image.shape, bool)
    words, of_place = cv2.connectedComponents(cv2.dilate(likely, square(APART)), connectivity=8)
    word = np.zeros(number, np.intp)
    word[labels.ravel()[places]] = of_place.ravel()[places]
    together = np.bincount(word[fits], weights=own[fits], minlength=words)
    if together.max() < LEAST_BEST:
        return np.zeros(image.shape, bool)
    fits &= together[word] >= LEAST_TOGETHER
    found: np.ndarray = fits[labels]
    return found.repeat(2, axis=0).repeat(2, axis=1)[:height, :width] if large else found


@cache
def load_layers() -> Layers:
    """Weights and biases of the layers, float32."""
    return load_file(WEIGHTS)


@cache
def load_screen_layers() -> Layers:
    """Weights and biases of the smaller network that selects where to look, float32."""
    return load_file(SCREEN_WEIGHTS)


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


def compute_some_logits(image: np.ndarray, layers: Layers) -> np.ndarray:
    """Compute the same only where a smaller network, at an eighth of the cost, sees that marks may be.

    Parameters
    ----------
    image
        uint8 [h, w].
    layers
        Weights and biases of the network.

    Returns
    -------
    numpy.ndarray
        float32 [h, w], logits; elsewhere minus infinity.
    """
    height, width = image.shape
    padded = cv2.copyMakeBorder(image, 0, -height % STEP, 0, -width % STEP, cv2.BORDER_REPLICATE)
    may_be = _select_blocks(screen_blocks(padded, load_screen_layers()))
    near = cv2.dilate(may_be, square(HALO // SCREENED))
    boxes = cv2.connectedComponentsWithStats(near, connectivity=8)[2][1:, :4]
    if (boxes[:, 2] * boxes[:, 3]).sum() > MOST_SCREENED * may_be.size:
        return compute_logits(image, layers)
    result = np.full(padded.shape, -np.inf, np.float32)
    for x, y, w, h in (boxes * SCREENED).tolist():
        window = np.s_[y : y + h, x : x + w]
        result[window] = np.maximum(result[window], compute_logits(np.ascontiguousarray(padded[window]), layers))
    looked = cv2.dilate(may_be, square(1)).repeat(SCREENED, axis=0).repeat(SCREENED, axis=1)
    result[looked == 0] = -np.inf
    return result[:height, :width]


def screen_blocks(image: np.ndarray, layers: Layers) -> np.ndarray:
    """Compute for each block of 8 x 8 pixels how likely the network finds drawn pixels in it.

    Parameters
    ----------
    image
        uint8 [h, w], whose sides are multiples of `STEP`.
    layers
        Weights and biases.

    Returns
    -------
    numpy.ndarray
        float32 [h / 8, w / 8], logits.
    """
    height, width = (side // SCREENED for side in image.shape)
    result = np.empty((height, width), np.float32)
    rows = max(1, BAND // (SCREENED * image.shape[1]))
    with threadpool_limits(1, user_api="blas"):
        for start in range(0, height, rows):
            stop = min(height, start + rows)
            first, last = max(0, start - SCREEN_HALO), min(height, stop + SCREEN_HALO)
            some = screen_inputs_of(image[SCREENED * first : SCREENED * last])
            squares = _Maps.empty(*some.shape)
            squares.inner[:] = some
            blocks = _halve(_convolve(squares, layers, "screen.0"), layers, "screen.1")
            blocks = _convolve(blocks, layers, "screen.2")
            logits = layers["last.weight"].reshape(1, -1) @ blocks.flat + layers["last.bias"]
            of_blocks = replace(blocks, flat=logits).inner[0]
            result[start:stop] = of_blocks[start - first : stop - first]
    return result


def _select_blocks(logits: np.ndarray) -> np.ndarray:
    """Select connected blocks that are not unlikely, if one of them is likelier: uint8 [h, w], 1 or 0."""
    likely = (logits > SCREEN_LIKELY).view(np.uint8)
    number, labels = cv2.connectedComponents(cv2.dilate(likely, square(1)), connectivity=8)
    chosen = np.zeros(number, np.uint8)
    chosen[labels[logits > SCREEN_SURE]] = 1
    chosen[0] = 0
    return np.asarray(chosen[labels] & likely)


def inputs_of(image: np.ndarray) -> np.ndarray:
    """Give the levels of an image, about -1 to 1, and by how much they are above those around: float32 [2, h, w]."""
    levels = image.astype(np.float32) / np.float32(127.5) - np.float32(1)
    around = cv2.blur(levels, (AROUND, AROUND), borderType=cv2.BORDER_REFLECT)
    return np.stack([levels, GAIN * (levels - around)])


def screen_inputs_of(image: np.ndarray) -> np.ndarray:
    """Give by how much levels are above those around, in squares of 4 x 4 pixels: float32 [16, h / 4, w / 4]."""
    height, width = image.shape
    levels = image.astype(np.float32)
    above = (levels - cv2.blur(levels, (AROUND, AROUND), borderType=cv2.BORDER_REFLECT)) * SCREEN_GAIN
    squares = above.reshape(height // 4, 4, width // 4, 4).transpose(1, 3, 0, 2)
    return squares.reshape(16, height // 4, width // 4)


@dataclass(frozen=True)
class _Maps:
    """Maps of channels with a border of zeros.

    Parameters
    ----------
    flat
        float32 [channels, n], padded rows one after the other, and `MARGIN` zeros before and after them.
    height, width
        Of a map without its border.
    border
        Zeros on each side.
    """

    flat: np.ndarray
    height: int
    width: int
    border: int = 1

    @classmethod
    def empty(cls, channels: int, height: int, width: int, border: int = 1) -> _Maps:
        """Zeros."""
        number = (height + 2 * border) * (width + 2 * border) + 2 * MARGIN
        return cls(np.zeros((channels, number), np.float32), height, width, border)

    @property
    def row(self) -> int:
        """Values of a padded row."""
        return self.width + 2 * self.border

    @property
    def padded(self) -> np.ndarray:
        """The maps with their borders, a view: [channels, height + 2 border, width + 2 border]."""
        return self.flat[:, MARGIN:-MARGIN].reshape(len(self.flat), -1, self.row)

    @property
    def inner(self) -> np.ndarray:
        """The maps without their borders, a view."""
        return self.padded[:, self.border : -self.border, self.border : -self.border]

    def some(self, first: int, last: int | None) -> _Maps:
        """Some of the channels, a view."""
        return _Maps(self.flat[first:last], self.height, self.width, self.border)


def _forward(image: np.ndarray, layers: Layers) -> np.ndarray:
    """Logits of a band whose sides are multiples of `STEP`."""
    height, width = image.shape
    half, quarter, eighth = (len(layers[f"{name}.bias"]) for name in ("first.1", "second.1", "third.2"))
    sides = [(height // scale, width // scale) for scale in (2, 4, 8)]
    squares = _Maps.empty(8, *sides[0])
    levels = inputs_of(image)
    for channel, (of, row, column) in enumerate(np.ndindex(2, 2, 2)):
        squares.inner[channel] = levels[of, row::2, column::2]
    # What is joined on the way back lies together from the start.
    fine, middle = _Maps.empty(quarter + half, *sides[0]), _Maps.empty(eighth + quarter, *sides[1])
    own_fine, own_middle = fine.some(quarter, None), middle.some(eighth, None)
    _convolve(_convolve(squares, layers, "first.0"), layers, "first.1", own_fine)
    _convolve(_halve(own_fine, layers, "second.0"), layers, "second.1", own_middle)
    coarse = _convolve(_halve(own_middle, layers, "third.0", border=2), layers, "third.1")
    _double(_convolve(coarse, layers, "third.2", dilation=2), middle)
    _double(_convolve(middle, layers, "join_second"), fine)
    joined = _convolve(fine, layers, "join_first")
    last = joined.some(0, 4)  # no longer needed after the product
    last.flat[:] = layers["last.weight"].reshape(4, -1) @ joined.flat
    result = np.empty((height, width), np.float32)
    for channel, (row, column) in enumerate(np.ndindex(2, 2)):
        np.add(last.inner[channel], layers["last.bias"][channel], out=result[row::2, column::2])
    return result


def _convolve(maps: _Maps, layers: Layers, name: str, result: _Maps | None = None, *, dilation: int = 1) -> _Maps:
    """Convolve maps with filters of 3 x 3; negative values become 0.

    A product of matrices gives what the rows of a band contribute to the rows above, to themselves, and to those below,
    so that only columns are copied, and three times instead of nine.
    """
    weight, bias = layers[f"{name}.weight"], layers[f"{name}.bias"][:, None]
    outputs, inputs = weight.shape[:2]
    matrix = np.ascontiguousarray(weight.transpose(2, 0, 3, 1).reshape(3 * outputs, 3 * inputs))
    if result is None:
        result = _Maps.empty(outputs, maps.height, maps.width, maps.border)
    row, first, stop = maps.row, maps.border, maps.border + maps.height
    rows = max(1, AT_ONCE // (3 * (inputs + outputs) * row))
    columns = np.empty((3, inputs, rows * row), np.float32)
    products = np.empty((3 * outputs, rows * row), np.float32)
    done = first
    for start in range(first - dilation, stop + dilation, rows):
        end = min(start + rows, stop + dilation)
        number = (end - start) * row
        for place, shift in enumerate((-dilation, 0, dilation)):
            begin = MARGIN + start * row + shift
            columns[place, :, :number] = maps.flat[:, begin : begin + number]
        np.matmul(matrix, columns.reshape(3 * inputs, -1)[:, :number], out=products[:, :number])
        for part, shift in enumerate((dilation, 0, -dilation)):
            low, high = max(first, start + shift), min(stop, end + shift)
            if low >= high:
                continue
            source = (low - start - shift) * row
            own = products[part * outputs : (part + 1) * outputs, source : source + (high - low) * row]
            target = result.flat[:, MARGIN + low * row : MARGIN + high * row]
            np.add(target if part else bias, own, out=target)
        ready = min(stop, max(done, end - dilation))
        complete = result.flat[:, MARGIN + done * row : MARGIN + ready * row]
        np.maximum(complete, 0, out=complete)
        done = ready
    result.padded[:, :, : maps.border] = 0
    result.padded[:, :, -maps.border :] = 0
    return result


def _halve(maps: _Maps, layers: Layers, name: str, *, border: int = 1) -> _Maps:
    """Convolve maps in the same way, at every second pixel of every second row."""
    weight, bias = layers[f"{name}.weight"], layers[f"{name}.bias"][:, None]
    height, width = maps.height // 2, maps.width // 2
    result = _Maps.empty(len(weight), height, width, border)
    matrix, padded = weight.reshape(len(weight), -1), maps.padded
    channels = len(padded)
    rows = max(1, AT_ONCE // (9 * channels * width))
    around = np.empty((channels, 3, 3, rows, width), np.float32)
    for start in range(0, height, rows):
        number = min(rows, height - start)
        some = around if number == rows else np.empty((channels, 3, 3, number, width), np.float32)
        for y, x in np.ndindex(3, 3):
            some[:, y, x] = padded[:, y + 2 * start : y + 2 * (start + number) - 1 : 2, x : x + 2 * width - 1 : 2]
        products = matrix @ some.reshape(9 * channels, -1)
        products += bias
        np.maximum(products, 0, out=products)
        result.inner[:, start : start + number] = products.reshape(len(weight), number, width)
    return result


def _double(maps: _Maps, result: _Maps) -> None:
    """Write each value of maps into the first channels of others, as 2 x 2 values."""
    target, values = result.inner[: len(maps.flat)], maps.inner
    for row, column in np.ndindex(2, 2):
        target[:, row::2, column::2] = values
