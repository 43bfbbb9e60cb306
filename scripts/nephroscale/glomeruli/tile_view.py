"""The tiles of a slide resampled to any scale, read in windows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING

import cv2
import numpy as np
from shapely import transform

from nephroscale.errors import NephroscaleError
from nephroscale.slides.tile_status import TileStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shapely.geometry import Polygon

    from nephroscale.slides.tile_reader import Tiles

GLASS = 244  # grey level of glass in a slide that shows none
EMPTY = 205  # a pixel is glass if all of its channels are brighter


@dataclass(frozen=True)
class Window:
    """A rectangle, in pixels of a view."""

    y: int
    x: int
    h: int
    w: int


class TileView:
    """The tiles of a slide at one scale.

    Unlike :class:`nephroscale.slides.slide_view.SlideView`, which reads the raw file, it may magnify, knows the
    status of each tile, and fills background, which is not stored, with the colour of the glass.

    Parameters
    ----------
    tiles
        Opened tiles.
    ratio
        Pixels of the tiles' level 0 per pixel of the view.

    Attributes
    ----------
    shape
        Height and width.
    status
        uint8 [h, w], values of :class:`TileStatus`.
    """

    def __init__(self, tiles: Tiles, ratio: float) -> None:
        self.tiles, self.ratio = tiles, ratio
        height, width = tiles.shape(0)[-2:]
        self.shape = max(1, round(height / ratio)), max(1, round(width / ratio))
        self.level = max(level for level in range(tiles.levels) if 2**level <= ratio * 1.001 or level == 0)
        self.status = self._status(ratio, (0, 0), self.shape)

    @classmethod
    def at_scale(cls, tiles: Tiles, mpp: float) -> TileView:
        """Create the view at a scale, µm per pixel.

        Raises
        ------
        NephroscaleError
            When the scale of the tiles is unknown.
        """
        if tiles.mpp is None:
            raise NephroscaleError(
                "The scale of these tiles is unknown.", where=tiles.path.name, fix="Give it in the table of images."
            )
        return cls(tiles, mpp / tiles.mpp)

    @property
    def mpp(self) -> float | None:
        """µm per pixel; None where unknown."""
        return None if self.tiles.mpp is None else self.tiles.mpp * self.ratio

    @property
    def bright(self) -> bool:
        """Whether background is bright (OM) rather than dark (IM)."""
        return self.tiles.modality == "OM"

    @cached_property
    def pen(self) -> np.ndarray:
        """Pixels under pen marks, bool [h, w]."""
        return self._at_pixels(self.tiles.pen)

    @cached_property
    def tissue(self) -> np.ndarray | None:
        """Pixels of tissue or under pen marks, bool [h, w]; None where it is unknown."""
        mask = self.tiles.tissue
        return self._at_pixels(mask | self.tiles.pen) if mask.any() else None

    def _at_pixels(self, marks: np.ndarray) -> np.ndarray:
        """Look up a mask of the whole slide at the pixels of the view."""
        height, width = self.shape
        corners = np.stack([np.arange(max(height, width)) + 0.5] * 2, axis=1)
        x, y = (self.to_raw(corners) / self.tiles.slide_px * marks.shape[::-1]).astype(int).T
        rows, columns = np.clip(y[:height], 0, marks.shape[0] - 1), np.clip(x[:width], 0, marks.shape[1] - 1)
        return np.asarray(marks[np.ix_(rows, columns)])

    @cached_property
    def glass(self) -> np.ndarray:
        """Colour of empty glass, uint8 [c]: the median of the bright pixels of a coarse level."""
        channels = self.tiles.shape(0)[0]
        level = next((k for k in reversed(range(self.tiles.levels)) if max(self.tiles.shape(k)[1:]) >= 256), 0)
        pixels = self.tiles.read(level, 0, 0, *self.tiles.shape(level)[1:]).reshape(channels, -1)
        bright = pixels[:, pixels.min(axis=0) > EMPTY]
        if bright.shape[1] < 0.001 * pixels.shape[1]:
            return np.full(channels, GLASS, np.uint8)
        return np.asarray(np.rint(np.median(bright, axis=1)), np.uint8)

    def read(self, window: Window) -> np.ndarray:
        """Read a window, which may reach beyond the slide.

        In OM, background and pixels beyond the slide have the colour of the slide's glass. Unreadable tiles are 0, and
        in IM background too.

        Parameters
        ----------
        window
            Rectangle in pixels of the view.

        Returns
        -------
        numpy.ndarray
            [h, w, c] of the tiles' dtype.
        """
        factor = self.ratio / 2**self.level
        y, x = round(window.y * factor), round(window.x * factor)
        h, w = max(1, round((window.y + window.h) * factor) - y), max(1, round((window.x + window.w) * factor) - x)
        pixels = np.moveaxis(self.tiles.read(self.level, y, x, h, w), 0, -1)
        if self.bright:
            glass = self._status(2**self.level, (y, x), (h, w)) == TileStatus.BACKGROUND
            _, height, width = self.tiles.shape(self.level)
            glass[: max(0, -y)] = glass[max(0, height - y) :] = True
            glass[:, : max(0, -x)] = glass[:, max(0, width - x) :] = True
            if glass.any():
                pixels = np.where(glass[..., None], self.glass, pixels)
        pixels = np.ascontiguousarray(pixels)
        if pixels.shape[:2] == (window.h, window.w):
            return pixels
        smaller = window.h <= h and window.w <= w
        resampled = cv2.resize(
            pixels, (window.w, window.h), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        )
        return resampled.reshape(window.h, window.w, -1)

    def _status(self, ratio: float, corner: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
        """Look up the status of the pixels of a rectangle, at any ratio to level 0."""
        rows, columns = self.tiles.status.shape
        down = ((np.arange(shape[0]) + corner[0] + 0.5) * ratio / self.tiles.tile_px).astype(int)
        across = ((np.arange(shape[1]) + corner[1] + 0.5) * ratio / self.tiles.tile_px).astype(int)
        # One axis after the other: eight times as fast as both at once.
        return np.asarray(self.tiles.status[:, np.clip(across, 0, columns - 1)][np.clip(down, 0, rows - 1)])

    def windows(self, side: int) -> Iterator[Window]:
        """Divide the view into windows of at most `side` pixels, row by row."""
        height, width = self.shape
        return (
            Window(y, x, min(side, height - y), min(side, width - x))
            for y in range(0, height, side)
            for x in range(0, width, side)
        )

    def whole(self) -> np.ndarray:
        """Read the whole view [h, w, c], window by window."""
        rows = [list(row) for _, row in groupby(self.windows(1024), key=lambda window: window.y)]
        return np.concatenate([np.concatenate([self.read(window) for window in row], axis=1) for row in rows], axis=0)

    def to_raw(self, points: np.ndarray) -> np.ndarray:
        """Convert x, y [n, 2] from pixels of the view to raw level-0 pixels."""
        return np.asarray(self.tiles.origin) + points * (self.ratio * np.asarray(self.tiles.raw_px))

    def polygon_from_raw(self, polygon: Polygon) -> Polygon:
        """Convert a polygon from raw level-0 pixels to pixels of the view."""
        return transform(polygon, self.from_raw)

    def from_raw(self, points: np.ndarray) -> np.ndarray:
        """Convert x, y [n, 2] from raw level-0 pixels to pixels of the view."""
        per_pixel = self.ratio * np.asarray(self.tiles.raw_px)
        return np.asarray((points - np.asarray(self.tiles.origin)) / per_pixel)
