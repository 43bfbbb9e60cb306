"""The grid of tiles of a slide, and samples of its tissue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from nephroscale.errors import Rejected
from nephroscale.slides.readers.base import UnreadableRegion
from nephroscale.slides.tile_status import TileStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nephroscale.slides.settings import TilingSettings
    from nephroscale.slides.slide_view import SlideView
    from nephroscale.slides.tissue import TissueMask

SAMPLE_TILES = 48
SAMPLE_PIXELS = 400_000


@dataclass(frozen=True)
class TileGrid:
    """The tiles of a slide, cropped to the rows and columns that have tissue or unreadable tiles.

    Attributes
    ----------
    side
        Side of a tile in pixels of the tiles' level 0.
    x, y
        Corner of the grid in those pixels, from the corner of the slide.
    width, height
        Size in those pixels; the edge of the slide may cut the last tiles.
    status
        uint8 [rows, columns], values of :class:`TileStatus`.
    fraction
        float32 [rows, columns], tissue fraction of each tile.
    pen, fold, bubble
        float32 [rows, columns], fraction of each tile that pen marks, folds and bubbles cover.
    """

    side: int
    x: int
    y: int
    width: int
    height: int
    status: np.ndarray
    fraction: np.ndarray
    pen: np.ndarray
    fold: np.ndarray
    bubble: np.ndarray

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Give x, y, width and height of a tile, in pixels from the corner of the grid."""
        x, y = column * self.side, row * self.side
        return x, y, min(self.side, self.width - x), min(self.side, self.height - y)


def make_grid(
    view: SlideView,
    mask: TissueMask,
    unreadable: np.ndarray,
    ratio: float,
    settings: TilingSettings,
    *,
    folds: np.ndarray | None = None,
    max_fold: float = 1.0,
    bubbles: np.ndarray | None = None,
    max_bubble: float = 1.0,
) -> TileGrid:
    """Cover a tissue mask with tiles.

    Parameters
    ----------
    view
        The slide at the scale of the tiles.
    mask
        Tissue and pen marks, at the scale of the overview.
    unreadable
        bool [h, w], at the scale of the overview.
    ratio
        Pixels of the tiles per pixel of the overview.
    settings
        `tile_px`, `tissue_fraction` and `max_pen_fraction`.
    folds, bubbles
        bool [h, w], at the scale of the overview; None where they were not looked for.
    max_fold, max_bubble
        Largest fraction of a tile that they may cover.

    Raises
    ------
    Rejected
        When no tile has enough tissue.
    """
    side = settings.tile_px
    rows, columns = -(-view.height // side), -(-view.width // side)
    parts = (*mask, unreadable, *(np.zeros_like(unreadable) if part is None else part for part in (folds, bubbles)))
    share, pen, lost, fold, bubble = (_share(part, rows, columns, side / ratio) for part in parts)
    status = np.zeros((rows, columns), np.uint8)
    wanted = share >= max(settings.tissue_fraction, 1e-6)
    clean = (pen <= settings.max_pen_fraction) & (fold <= max_fold) & (bubble <= max_bubble)
    status[wanted & clean] = TileStatus.TISSUE
    status[lost > 0] = TileStatus.UNREADABLE
    if not (status == TileStatus.TISSUE).any():
        raise Rejected(
            "no tissue was found"
            + (" but under pen marks or bubbles, or in folds" if wanted.any() else "")
            + (", and parts of the slide cannot be read" if unreadable.any() else "")
            + "; look at the image, which may be empty, very pale, overexposed or of another modality",
            unreadable_tiles=int((status == TileStatus.UNREADABLE).sum()),
        )
    down, across = (np.flatnonzero(status.any(axis)) for axis in (1, 0))
    where = np.s_[down[0] : down[-1] + 1, across[0] : across[-1] + 1]
    x, y = int(across[0]) * side, int(down[0]) * side
    width, height = min(view.width, (int(across[-1]) + 1) * side) - x, min(view.height, (int(down[-1]) + 1) * side) - y
    return TileGrid(side, x, y, width, height, status[where], share[where], pen[where], fold[where], bubble[where])


def _share(mask: np.ndarray, rows: int, columns: int, side: float) -> np.ndarray:
    """Fraction of each square of `side` pixels (not an integer) in which a mask is true, by an integral image."""
    total = cv2.integral(mask.astype(np.uint8)).astype(np.float64)
    down, across = (
        np.minimum(np.arange(n + 1) * side, size) for n, size in ((rows, mask.shape[0]), (columns, mask.shape[1]))
    )
    # The integral image of a mask is linear along each axis between its nodes, so this is exact.
    corners = _between(_between(total, down).T, across).T
    inside = corners[1:, 1:] - corners[:-1, 1:] - corners[1:, :-1] + corners[:-1, :-1]
    area = np.maximum(np.outer(np.diff(down), np.diff(across)), 1e-9)
    return np.asarray(np.clip(np.round(inside / area, 3), 0, 1).astype(np.float32))


def _between(values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Interpolate linearly along axis 0."""
    low = np.floor(positions).astype(int)
    part = (positions - low)[:, None]
    return np.asarray(values[low] * (1 - part) + values[np.minimum(low + 1, len(values) - 1)] * part)


class SampledTile(NamedTuple):
    """A tile as read.

    Attributes
    ----------
    x, y
        Corner in pixels of the tiles' level 0, from the corner of the slide.
    pixels
        [h, w, c].
    valid
        bool [h, w]: pixels that the file has.
    """

    x: int
    y: int
    pixels: np.ndarray
    valid: np.ndarray


def sample_tiles(view: SlideView, grid: TileGrid, count: int = SAMPLE_TILES) -> Iterator[SampledTile]:
    """Read at most `count` tissue tiles spread evenly over the slide; unreadable ones are skipped."""
    rows, columns = np.nonzero(grid.status == TileStatus.TISSUE)
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int))
    for row, column in zip(rows[chosen].tolist(), columns[chosen].tolist(), strict=True):
        x, y, width, height = grid.box(row, column)
        try:
            yield SampledTile(grid.x + x, grid.y + y, *view.read(grid.x + x, grid.y + y, width, height))
        except UnreadableRegion:
            continue


def sample_tissue(view: SlideView, grid: TileGrid, tissue: np.ndarray, ratio: float) -> np.ndarray:
    """Sample pixels of tissue.

    Parameters
    ----------
    view
        The slide at the scale of the tiles.
    grid
        Its tiles.
    tissue
        bool [h, w], at the scale of the overview.
    ratio
        Pixels of the tiles per pixel of the overview.

    Returns
    -------
    ndarray
        [n, c], with n at most about 400,000.
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
