"""From an open slide to its scale, its tissue, its grid of tiles, and a sample of its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from nephroscale.errors import Rejected
from nephroscale.slides.readers.base import SlideReader, UnreadableRegion
from nephroscale.slides.scaled import NEAR, ScaledView, snap

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLE_TILES = 48
SAMPLE_PIXELS = 400_000
WHITE = 255
FIELD_OVERVIEW_PX = 512


@dataclass(frozen=True)
class Scales:
    """The scales of a slide's tiles and of its overview.

    Attributes
    ----------
    tile
        Raw level-0 pixels per pixel of the tiles.
    overview
        The same for the overview.
    mpp
        µm per pixel of the tiles; None for a field without scale.
    """

    tile: float
    overview: float
    mpp: float | None

    @property
    def ratio(self) -> float:
        """Pixels of the tiles per pixel of the overview."""
        return self.overview / self.tile

    @property
    def overview_mpp(self) -> float | None:
        """µm per pixel of the overview."""
        return None if self.mpp is None else self.mpp * self.ratio


def find_scales(reader: SlideReader, facts: dict[str, Any], row: dict[str, Any], settings: dict[str, Any]) -> Scales:
    """Work out at which scales a slide is read.

    Raises
    ------
    Rejected
        When the slide is coarser than the tiles have to be (by more than 5 %), unless one glomerulus fills it.
    """
    raw, target = facts["scale"]["value"], float(settings["mpp"])
    if raw is None:
        return Scales(1.0, max(1.0, max(reader.width, reader.height) / FIELD_OVERVIEW_PX), None)
    if raw > target * (1 + NEAR) and row.get("roi") != "whole":
        raise Rejected(f"it is too coarse: {raw:g} µm per pixel, where {target:g} are needed")
    tile = snap(reader, max(1.0, target / raw))
    # A small field keeps at least some pixels to find tissue in.
    overview = min(float(settings["tissue_mpp"]) / raw, max(reader.width, reader.height) / 64)
    return Scales(tile, max(tile, overview), raw * tile)


@dataclass(frozen=True)
class Grid:
    """The tiles of a slide, from the first to the last row and column that hold any tissue.

    Attributes
    ----------
    side
        Side of a tile in pixels of the tiles' level 0.
    x, y
        Corner of the grid in those pixels, from the slide's own corner.
    width, height
        Size in those pixels; the last tiles may be cut by the slide's edge.
    status
        uint8 [rows, columns]: 0 background, 1 tissue, 2 unreadable.
    fraction
        float32 [rows, columns]: share of each tile that is tissue.
    """

    side: int
    x: int
    y: int
    width: int
    height: int
    status: np.ndarray
    fraction: np.ndarray

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """x, y, width and height of a tile in pixels from the grid's corner."""
        x, y = column * self.side, row * self.side
        return x, y, min(self.side, self.width - x), min(self.side, self.height - y)


def make_grid(
    view: ScaledView, tissue: np.ndarray, unreadable: np.ndarray, ratio: float, settings: dict[str, Any]
) -> Grid:
    """Lay tiles over a tissue mask.

    Parameters
    ----------
    view
        The slide at the tiles' scale.
    tissue, unreadable
        bool [h, w], at the overview's scale.
    ratio
        Pixels of the tiles per pixel of the overview.
    settings
        `tile_px` and `tissue_fraction`.

    Raises
    ------
    Rejected
        When there is no tile with enough tissue.
    """
    side = int(settings["tile_px"])
    rows, columns = -(-view.height // side), -(-view.width // side)
    share = _share(tissue, rows, columns, side / ratio)
    lost = _share(unreadable, rows, columns, side / ratio)
    status = np.zeros((rows, columns), np.uint8)
    status[share >= max(float(settings["tissue_fraction"]), 1e-6)] = 1
    status[lost > 0] = 2
    if not (status == 1).any():
        raise Rejected(
            "no tissue was found" + (", and parts of it cannot be read" if unreadable.any() else ""),
            unreadable_tiles=int((status == 2).sum()),
        )
    down, across = (np.flatnonzero(status.any(axis)) for axis in (1, 0))
    where = np.s_[down[0] : down[-1] + 1, across[0] : across[-1] + 1]
    x, y = int(across[0]) * side, int(down[0]) * side
    width, height = min(view.width, (int(across[-1]) + 1) * side) - x, min(view.height, (int(down[-1]) + 1) * side) - y
    return Grid(side, x, y, width, height, status[where], share[where])


def _share(mask: np.ndarray, rows: int, columns: int, side: float) -> np.ndarray:
    """Share of each square of `side` pixels (no whole number) in which a mask is true, by an integral image."""
    total = cv2.integral(mask.astype(np.uint8)).astype(np.float64)
    down, across = (
        np.minimum(np.arange(n + 1) * side, size) for n, size in ((rows, mask.shape[0]), (columns, mask.shape[1]))
    )
    # Between its nodes the integral image of a mask is linear along each axis, so this is exact.
    corners = _between(_between(total, down).T, across).T
    inside = corners[1:, 1:] - corners[:-1, 1:] - corners[1:, :-1] + corners[:-1, :-1]
    area = np.maximum(np.outer(np.diff(down), np.diff(across)), 1e-9)
    return np.clip(np.round(inside / area, 3), 0, 1).astype(np.float32)


def _between(values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Linear interpolation along axis 0."""
    low = np.floor(positions).astype(int)
    part = (positions - low)[:, None]
    return values[low] * (1 - part) + values[np.minimum(low + 1, len(values) - 1)] * part


def sample_tiles(
    view: ScaledView, grid: Grid, count: int = SAMPLE_TILES
) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """Read tissue tiles spread evenly over the slide; what cannot be read is passed over.

    Yields
    ------
    tuple of (int, int, ndarray, ndarray)
        x and y in pixels of the tiles' level 0 from the slide's corner, pixels [h, w, c], and which are valid.
    """
    rows, columns = np.nonzero(grid.status == 1)
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int))
    for row, column in zip(rows[chosen].tolist(), columns[chosen].tolist(), strict=True):
        x, y, width, height = grid.box(row, column)
        try:
            yield (grid.x + x, grid.y + y, *view.read(grid.x + x, grid.y + y, width, height))
        except UnreadableRegion:
            continue


def sample_tissue(view: ScaledView, grid: Grid, tissue: np.ndarray, ratio: float) -> np.ndarray:
    """Sample pixels of tissue.

    Parameters
    ----------
    view
        The slide at the tiles' scale.
    grid
        Its tiles.
    tissue
        bool [h, w], at the overview's scale.
    ratio
        Pixels of the tiles per pixel of the overview.

    Returns
    -------
    ndarray
        [n, c], at most about 400,000 of them.
    """
    found = []
    for x, y, pixels, valid in sample_tiles(view, grid):
        down = np.minimum(((np.arange(y, y + pixels.shape[0]) + 0.5) / ratio).astype(int), tissue.shape[0] - 1)
        across = np.minimum(((np.arange(x, x + pixels.shape[1]) + 0.5) / ratio).astype(int), tissue.shape[1] - 1)
        found.append(pixels[valid & tissue[np.ix_(down, across)]])
    if not found:
        return np.zeros((0, view.reader.channels), view.reader.dtype)
    all_pixels = np.concatenate(found)
    return all_pixels[:: max(1, -(-len(all_pixels) // SAMPLE_PIXELS))]
