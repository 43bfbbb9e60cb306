"""Pixels of tiles that were not stored: read from the slide, and normalised as the stage `tiles` stores them.

`describe_pixels` writes what is needed beside the tile table; `open_pixels` reads it.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from nephroscale.arrays import read_array
from nephroscale.errors import NephroscaleError
from nephroscale.slides.background import BACKGROUND, IntensityScale
from nephroscale.slides.field import Field
from nephroscale.slides.normalisation import Normalisation
from nephroscale.slides.pyramid import list_shapes
from nephroscale.slides.readers.base import UnreadableRegion, UnreadableSlide
from nephroscale.slides.readers.registry import open_slide
from nephroscale.slides.shards import halve
from nephroscale.slides.slide_view import WHITE, SlideView
from nephroscale.slides.tile_status import TileStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nephroscale.slides.facts import ImageFacts
    from nephroscale.slides.modality import Modality
    from nephroscale.slides.scales import Scales
    from nephroscale.slides.tile_grid import TileGrid

    _ToPlanes = Callable[[np.ndarray, np.ndarray, int, int], np.ndarray]

KEPT_LEVEL = 2  # tiles stay in memory from this level on: a sixteenth of their pixels
KEPT_BYTES = 64_000_000  # tiles of level 0 that stay in memory


def describe_pixels(
    facts: ImageFacts, scales: Scales, grid: TileGrid, modality: Modality, out: Path
) -> dict[str, object]:
    """Describe how the tiles of a slide are read and normalised: JSON values, and arrays in the folder `out`."""
    return {
        "reader": facts.reader,
        "page": facts.page,
        "scale": scales.tile,
        "x": grid.x,
        "y": grid.y,
        "shapes": list_shapes(modality.channels, grid.height, grid.width),
        **modality.describe_transform(out),
    }


class SlidePixels:
    """The pyramid of a slide's tiles, made from the slide as regions are asked for.

    A level is halved tile by tile, as :mod:`.pyramid` does, so that pixels equal those of a stored pyramid. Tiles stay
    in memory at a quarter of their scale, so that a coarse level costs one pass over the slide, and coarser ones none.

    Parameters
    ----------
    path
        Folder of the tiles.
    attributes
        JSON object, as stored under `nephroscale`; `pixels` is what :func:`describe_pixels` gave.
    status
        uint8 [rows, columns], values of :class:`TileStatus`.
    slide
        The raw file.
    """

    def __init__(self, path: Path, attributes: Any, status: np.ndarray, slide: Path) -> None:
        pixels = attributes["pixels"]
        self.shapes: list[tuple[int, int, int]] = [tuple(shape) for shape in pixels["shapes"]]
        self._shape, self.status = self.shapes[0], status
        self._side, self._corner = attributes["tile_px"], (pixels["y"], pixels["x"])
        opened = open_slide(slide, pixels["reader"], pixels["page"], attributes.get("stretch"))
        weakref.finalize(self, opened.close)
        if attributes["modality"] == "OM":
            self.dtype: np.dtype = np.dtype(np.uint8)
            normalisation = Normalisation.from_json(pixels["normalisation"])
            self._to_planes: _ToPlanes = lambda read, valid, x, y: normalisation.planes(read, valid)  # noqa: ARG005
            self._view = SlideView(opened, pixels["scale"], fill=WHITE)
        else:
            self.dtype = np.dtype(np.uint16)
            background = np.array(read_array(path / BACKGROUND, BACKGROUND))
            self._to_planes = IntensityScale(background, pixels["ratio"], pixels["factor"]).plane
            channel = pixels["channel"]
            source = Field(opened, pixels["named"]) if pixels["field"] else opened
            self._view = SlideView(
                source, pixels["scale"], prepare=lambda read: np.ascontiguousarray(read[..., channel : channel + 1])
            )
        self._recent: dict[tuple[int, int], np.ndarray] = {}
        self._most = max(1, KEPT_BYTES // (self._shape[0] * self._side**2 * self.dtype.itemsize))
        self._kept: dict[tuple[int, int], np.ndarray] = {}

    def read(self, level: int, y0: int, x0: int, y1: int, x1: int) -> np.ndarray:
        """Read a region inside a level, [c, y1 - y0, x1 - x0]; absent tiles are 0."""
        out = np.zeros((self._shape[0], y1 - y0, x1 - x0), self.dtype)
        side = self._side // 2**level
        for row in range(y0 // side, -(-y1 // side)):
            for column in range(x0 // side, -(-x1 // side)):
                if self.status[row, column] != TileStatus.TISSUE:
                    continue
                tile = self._at_level(level, row, column)
                top, left = row * side, column * side
                a, b = max(y0, top), min(y1, top + side)
                c, d = max(x0, left), min(x1, left + side)
                out[:, a - y0 : b - y0, c - x0 : d - x0] = tile[:, a - top : b - top, c - left : d - left]
        return out

    def _at_level(self, level: int, row: int, column: int) -> np.ndarray:
        if level < KEPT_LEVEL:
            return _halve(self._tile(row, column), level)
        if (row, column) not in self._kept:
            self._tile(row, column)
        return _halve(self._kept[row, column], level - KEPT_LEVEL)

    def _tile(self, row: int, column: int) -> np.ndarray:
        """Give a tile of level 0, [c, h, w], and keep it at a quarter of its scale."""
        if (row, column) in self._recent:
            return self._recent[row, column]
        _, rows, columns = self._shape
        top, left = row * self._side, column * self._side
        y, x = self._corner[0] + top, self._corner[1] + left
        try:
            pixels, valid = self._view.read(x, y, min(self._side, columns - left), min(self._side, rows - top))
        except (UnreadableRegion, UnreadableSlide) as fault:
            raise NephroscaleError(
                "A tile that the stage `tiles` has read can no longer be read from the slide.",
                where=f"row {row}, column {column}",
                fix="Check the disk and the connection to it, and run the same command again.",
            ) from fault
        tile = self._to_planes(pixels, valid, x, y)
        if len(self._recent) >= self._most:
            del self._recent[next(iter(self._recent))]
        self._recent[row, column] = tile
        if (row, column) not in self._kept:
            self._kept[row, column] = _halve(tile, KEPT_LEVEL)
        return tile


def open_pixels(path: Path, attributes: Any, status: np.ndarray, slide: Path) -> SlidePixels:
    """Open the pixels of tiles that were not stored."""
    return SlidePixels(path, attributes, status, slide)


def _halve(tile: np.ndarray, times: int) -> np.ndarray:
    for _ in range(times):
        tile = halve(tile)
    return tile
