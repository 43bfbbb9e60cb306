"""Reading a slide at any scale, in pieces that fit together without seams."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from nephroscale.slides.readers.base import SlideReader, UnreadableRegion

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = 2048  # level pixels read at once for an overview, so that its memory does not grow with the slide
SMALLEST = 256
NEAR = 0.05


class Overview(NamedTuple):
    """A whole slide at a coarse scale.

    Attributes
    ----------
    pixels
        [h, w, c], as read.
    valid
        bool [h, w]: pixels that the file has and that could be read.
    unreadable
        bool [h, w]: pixels whose bytes could not be read.
    """

    pixels: np.ndarray
    valid: np.ndarray
    unreadable: np.ndarray


def snap(reader: SlideReader, scale: float) -> float:
    """Give the downsample of a level within 5 % of a scale, so that its pixels stay as they are; else the scale."""
    near = [d for d in reader.downsamples if abs(d / scale - 1) <= NEAR]
    return min(near, key=lambda d: abs(d - scale)) if near else scale


class ScaledView:
    """A slide as if it had been scanned at another scale.

    From the next finer level: first the mean over whole squares of pixels, then, for what remains (a factor from 1 to
    below 2), linear interpolation. Both lie on a grid that is fixed to the slide, so that regions fit together.

    Parameters
    ----------
    reader
        An open slide.
    scale
        Level-0 pixels per pixel of the view, at least 1 (a slide is not magnified).
    fill
        Value of pixels that the file does not have, before averaging.
    prepare
        Turns pixels [h, w, c] as read into those to be scaled, for instance one channel of them.
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
        # Where a level is smaller than one square, the square reaches past its edge.
        self._grid = (max(1, wide // self.whole), max(1, high // self.whole))
        self.width, self.height = (max(1, int(n / self.rest + 1e-6)) for n in self._grid)

    def read(self, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """Read a region.

        Parameters
        ----------
        x, y, width, height
            In pixels of the view; may reach past its edges.

        Returns
        -------
        tuple of (ndarray, ndarray)
            Pixels [height, width, channels], and which of them the file has (bool [height, width]).

        Raises
        ------
        UnreadableRegion
            When the file's bytes give no pixels there.
        """
        pixels, known = self._scaled(x, y, width, height)
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
        # OpenCV rounds positions to 1/32 of a pixel: rounded here first, they are the same from whichever corner.
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
        """Read the whole slide block by block; what cannot be read is narrowed down and marked."""
        step = max(8, int(BLOCK / (self.whole * self.rest)))
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
            if max(width, height) * self.whole * self.rest <= SMALLEST or max(width, height) == 1:
                unreadable[where] = True
                return
            for top, high in ((y, half_high), (y + half_high, height - half_high)):
                for left, wide in ((x, half_wide), (x + half_wide, width - half_wide)):
                    if high and wide:
                        self._fill(pixels, valid, unreadable, left, top, wide, high)
