"""A slide's tiles at one physical scale, read in windows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np

from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nephroscale.slides.tile_reader import Tiles

GLASS = 244  # brightness of empty glass in a stained, normalised slide that shows none
EMPTY = 205  # a pixel all of whose channels are brighter is glass


@dataclass(frozen=True)
class Window:
    """A rectangle of a view, in its pixels."""

    y: int
    x: int
    h: int
    w: int


class View:
    """Tiles resampled to one scale.

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
        uint8 [h, w]: 0 background, 1 tissue, 2 unreadable.
    """

    def __init__(self, tiles: Tiles, ratio: float) -> None:
        self.tiles, self.ratio = tiles, ratio
        height, width = tiles.shape(0)[-2:]
        self.shape = max(1, round(height / ratio)), max(1, round(width / ratio))
        self.level = max(level for level in range(tiles.levels) if 2**level <= ratio * 1.001 or level == 0)
        self.status = self._status(ratio, (0, 0), self.shape)

    @classmethod
    def at_scale(cls, tiles: Tiles, mpp: float) -> View:
        """Make the view at a scale, µm per pixel.

        Raises
        ------
        NephroscaleError
            When the tiles have no scale.
        """
        if tiles.mpp is None:
            raise NephroscaleError(
                "These tiles have no scale.", where=tiles.path.name, todo="Give it in the table of images."
            )
        return cls(tiles, mpp / tiles.mpp)

    @property
    def mpp(self) -> float | None:
        """µm per pixel; None where the tiles have no scale."""
        return None if self.tiles.mpp is None else self.tiles.mpp * self.ratio

    @property
    def bright(self) -> bool:
        """Whether empty places are bright (OM) rather than dark (IM)."""
        return self.tiles.modality == "OM"

    @cached_property
    def glass(self) -> np.ndarray:
        """Colour of the slide's empty glass, uint8 [c]: the median of what is bright among its coarse pixels."""
        channels = self.tiles.shape(0)[0]
        level = next((k for k in reversed(range(self.tiles.levels)) if max(self.tiles.shape(k)[1:]) >= 256), 0)
        pixels = self.tiles.read(level, 0, 0, *self.tiles.shape(level)[1:]).reshape(channels, -1)
        bright = pixels[:, pixels.min(axis=0) > EMPTY]
        if bright.shape[1] < 0.001 * pixels.shape[1]:
            return np.full(channels, GLASS, np.uint8)
        return np.rint(np.median(bright, axis=1)).astype(np.uint8)

    def read(self, window: Window) -> np.ndarray:
        """Read a window that may reach beyond the slide.

        Glass that was not stored, and what lies beyond the slide, has the colour of the slide's glass in OM;
        unreadable places, and everything absent in IM, come as 0.

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
            glass = self._status(2**self.level, (y, x), (h, w)) == 0
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
        """Look up what the pixels of a rectangle are, at any ratio to level 0."""
        rows, columns = self.tiles.status.shape
        down = ((np.arange(shape[0]) + corner[0] + 0.5) * ratio / self.tiles.tile_px).astype(int)
        across = ((np.arange(shape[1]) + corner[1] + 0.5) * ratio / self.tiles.tile_px).astype(int)
        return self.tiles.status[np.ix_(np.clip(down, 0, rows - 1), np.clip(across, 0, columns - 1))]

    def windows(self, side: int) -> Iterator[Window]:
        """Cut the view into windows of at most `side` pixels, row by row."""
        height, width = self.shape
        for y in range(0, height, side):
            for x in range(0, width, side):
                yield Window(y, x, min(side, height - y), min(side, width - x))

    def whole(self) -> np.ndarray:
        """Read the whole view [h, w, c], window by window."""
        parts = [[self.read(window) for window in row] for row in self._rows(1024)]
        return np.concatenate([np.concatenate(row, axis=1) for row in parts], axis=0)

    def _rows(self, side: int) -> list[list[Window]]:
        rows: dict[int, list[Window]] = {}
        for window in self.windows(side):
            rows.setdefault(window.y, []).append(window)
        return list(rows.values())

    def to_raw(self, points: np.ndarray) -> np.ndarray:
        """Turn x, y [n, 2] of the view into raw level-0 pixels."""
        return np.asarray(self.tiles.origin) + points * (self.ratio * self.tiles.scale)

    def from_raw(self, points: np.ndarray) -> np.ndarray:
        """Turn x, y [n, 2] in raw level-0 pixels into pixels of the view."""
        return (points - np.asarray(self.tiles.origin)) / (self.ratio * self.tiles.scale)
