"""A raw slide resampled to any scale, read in regions that fit together without seams."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from nephroscale.slides.readers.base import SlideReader, UnreadableRegion

BLOCK_PX = 2048  # level pixels that an overview reads at once, so that memory does not grow with the slide
MIN_UNREADABLE_PX = 256  # side of the smallest region that unreadable pixels are narrowed down to
TOLERANCE = 0.05  # relative difference within which two scales count as equal
WHITE = 255  # level of pixels that a brightfield slide does not have


class Overview(NamedTuple):
    """A whole slide at a coarse scale.

    Attributes
    ----------
    pixels
        [h, w, c], as read, in the dtype of the reader.
    valid
        bool [h, w]: pixels that the file has and that are readable.
    unreadable
        bool [h, w]: pixels that could not be decoded.
    """

    pixels: np.ndarray
    valid: np.ndarray
    unreadable: np.ndarray


def snap_to_level(reader: SlideReader, scale: float) -> float:
    """Give the downsample of a level within 5 % of a scale, so that its pixels are not resampled; else the scale."""
    near = [d for d in reader.downsamples if abs(d / scale - 1) <= TOLERANCE]
    return min(near, key=lambda d: abs(d - scale)) if near else scale


class SlideView:
    """A raw slide at another scale.

    Pixels come from the next finer level: the mean over squares of 2^n pixels (which a reader of JPEG takes of the
    coefficients, see :meth:`.readers.base.SlideReader.read_reduced`), then linear interpolation for the remaining
    factor (1 to below 2). Both grids are fixed to the slide, so that regions fit together.

    For the tiles of a slide, which have glass and a status, see :class:`nephroscale.glomeruli.tile_view.TileView`.

    Parameters
    ----------
    reader
        An open slide.
    scale
        Level-0 pixels per pixel of the view, at least 1 (no magnification).
    fill
        Level of pixels that the file does not have, set before averaging.
    prepare
        Applied to pixels [h, w, c] as read, before scaling; for instance selects one channel.
    """

    def __init__(
        self,
        reader: SlideReader,
        scale: float,
        *,
        fill: int = 0,
        prepare: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self.reader, self.scale, self.fill, self.prepare = reader, float(scale), fill, prepare
        usable = [n for n, d in enumerate(reader.downsamples) if d <= scale * (1 + 1e-9)]
        self.level = usable[-1] if usable else 0
        factor = max(1.0, scale / reader.downsamples[self.level])
        self.whole = 2 ** int(np.log2(factor * (1 + 1e-9)))
        rest = factor / self.whole
        self.rest = 1.0 if abs(rest - 1) < 1e-6 else rest
        wide, high = reader.sizes[self.level]
        # If a level is smaller than one square, the square reaches past its edge.
        self._grid = (max(1, wide // self.whole), max(1, high // self.whole))
        self.width, self.height = (max(1, int(n / self.rest + 1e-6)) for n in self._grid)

    def read(self, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """Read a region.

        Parameters
        ----------
        x, y, width, height
            In pixels of the view; the region may reach past its edges.

        Returns
        -------
        tuple of (ndarray, ndarray)
            Pixels [height, width, channels], and a mask of those that the file has (bool [height, width]).

        Raises
        ------
        UnreadableRegion
            When the pixels there cannot be decoded.
        """
        pixels, known = self._scaled(x, y, width, height)
        if x >= 0 and y >= 0 and x + width <= self.width and y + height <= self.height:
            return pixels, known
        inside_y, inside_x = (
            (a <= np.arange(n)) & (np.arange(n) < b)
            for a, b, n in ((-y, self.height - y, height), (-x, self.width - x, width))
        )
        inside = inside_y[:, None] & inside_x
        pixels[~inside] = self.fill
        return pixels, known & inside

    def _scaled(self, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        if self.rest == 1.0:
            return self._squares(x, y, width, height)
        # OpenCV rounds positions to 1/32 of a pixel. Rounding them first makes them equal for all regions.
        across, along = (
            np.round(((np.arange(a, a + n) + 0.5) * self.rest - 0.5) * 32) / 32 for a, n in ((x, width), (y, height))
        )
        across, along = (np.clip(p, 0, n - 1) for p, n in zip((across, along), self._grid, strict=True))
        x0, y0 = int(across[0]), int(along[0])
        x1, y1 = min(int(across[-1]) + 2, self._grid[0]), min(int(along[-1]) + 2, self._grid[1])
        pixels, valid = self._squares(x0, y0, x1 - x0, y1 - y0)
        maps = np.meshgrid((across - x0).astype(np.float32), (along - y0).astype(np.float32))
        scaled = cv2.remap(pixels, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        known = cv2.remap(valid.astype(np.uint8), *maps, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE) > 0
        return scaled.reshape(height, width, -1), known

    def _squares(self, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        k = self.whole
        wide, high = self.reader.sizes[self.level]
        if k > 1 and min(x, y) >= 0 and (x + width) * k <= wide and (y + height) * k <= high:
            reduced = self.reader.read_reduced(self.level, k, x, y, width, height)
            if reduced is not None:
                return reduced if self.prepare is None else self.prepare(reduced), np.ones((height, width), bool)
        pixels, valid = self.reader.read_level(self.level, x * k, y * k, width * k, height * k)
        if self.prepare is not None:
            pixels = self.prepare(pixels)
        if not valid.all():
            pixels[~valid] = self.fill
        if k > 1:
            pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA).reshape(height, width, -1)
            valid = valid.reshape(height, k, width, k).mean((1, 3)) >= 0.5
        return pixels, valid

    def overview(self) -> Overview:
        """Read the whole slide block by block; unreadable pixels are narrowed down and marked."""
        step = max(8, int(BLOCK_PX / (self.whole * self.rest)))
        first = self.prepare(np.zeros((1, 1, self.reader.channels), self.reader.dtype)) if self.prepare else None
        channels = self.reader.channels if first is None else first.shape[-1]
        pixels = np.full((self.height, self.width, channels), self.fill, self.reader.dtype)
        valid, unreadable = np.zeros((2, self.height, self.width), bool)
        for y in range(0, self.height, step):
            for x in range(0, self.width, step):
                self._fill(pixels, valid, unreadable, x, y, min(step, self.width - x), min(step, self.height - y))
        return Overview(pixels, valid, unreadable)

    def _fill(  # noqa: PLR0917
        self, pixels: np.ndarray, valid: np.ndarray, unreadable: np.ndarray, x: int, y: int, width: int, height: int
    ) -> None:
        where = np.s_[y : y + height, x : x + width]
        try:
            pixels[where], valid[where] = self.read(x, y, width, height)
        except UnreadableRegion:
            half_wide, half_high = -(-width // 2), -(-height // 2)
            if max(width, height) * self.whole * self.rest <= MIN_UNREADABLE_PX or max(width, height) == 1:
                unreadable[where] = True
                return
            for top, high in ((y, half_high), (y + half_high, height - half_high)):
                for left, wide in ((x, half_wide), (x + half_wide, width - half_wide)):
                    if high and wide:
                        self._fill(pixels, valid, unreadable, left, top, wide, high)
