"""Reading the tiles of a slide back."""

from __future__ import annotations

import csv
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from nephroscale.errors import NephroscaleError


class Tiles:
    """A tiled slide, opened for reading.

    Attributes
    ----------
    mpp
        µm per pixel of level 0; None for a field without a scale.
    origin
        x and y of level 0's corner, in raw level-0 pixels.
    scale
        Raw level-0 pixels per pixel of level 0.
    tile_px
        Side of a tile in pixels of level 0.
    modality, stain
        As in the tables; `stain` holds the marker of an IM image.
    calibration
        `calibrated` or `pattern-only`; None for OM.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            self._group = zarr.open_group(self.path, mode="r", zarr_format=3)
            attributes: dict[str, Any] = dict(self._group.attrs["nephroscale"])  # type: ignore[arg-type]
        except (FileNotFoundError, KeyError):
            raise NephroscaleError(
                "There are no tiles here.", where=str(path), todo="Run the stage `tiles` again."
            ) from None
        self.mpp: float | None = attributes["mpp"]
        self.origin: tuple[float, float] = tuple(attributes["origin"])
        self.scale: float = attributes["scale"]
        self.tile_px: int = attributes["tile_px"]
        self.modality: str = attributes["modality"]
        self.stain: str | None = attributes["stain"]
        self.calibration: str | None = attributes.get("calibration")
        group: Any = self._group
        multiscale = group.attrs["ome"]["multiscales"][0]
        self._arrays: list[Any] = [group[dataset["path"]] for dataset in multiscale["datasets"]]

    @property
    def levels(self) -> int:
        """Number of levels, each half the scale of the one before."""
        return len(self._arrays)

    def shape(self, level: int = 0) -> tuple[int, int, int]:
        """Channels, height and width of a level."""
        return self._arrays[level].shape

    @property
    def dtype(self) -> np.dtype:
        """uint8 (OM) or uint16 (IM)."""
        return self._arrays[0].dtype

    def read(self, level: int, y: int, x: int, h: int, w: int) -> np.ndarray:
        """Read a region of a level; what is absent or lies outside is 0.

        Parameters
        ----------
        level
            0 is the finest.
        y, x, h, w
            In pixels of that level; may reach past its edges.

        Returns
        -------
        ndarray
            [c, h, w].
        """
        array = self._arrays[level]
        channels, high, wide = array.shape
        y0, x0, y1, x1 = max(y, 0), max(x, 0), min(y + h, high), min(x + w, wide)
        if y0 >= y1 or x0 >= x1:
            return np.zeros((channels, h, w), array.dtype)
        inside = array[:, y0:y1, x0:x1]
        if inside.shape[1:] == (h, w):
            return inside
        out = np.zeros((channels, h, w), array.dtype)
        out[:, y0 - y : y1 - y, x0 - x : x1 - x] = inside
        return out

    @cached_property
    def status(self) -> np.ndarray:
        """What each tile is: uint8 [rows, columns], 0 background, 1 tissue, 2 unreadable."""
        return np.asarray(self._group["labels/tissue/0"][...])  # type: ignore[index]

    def tissue_mask(self, mpp: float | None = None) -> np.ndarray:
        """Say what each place is, at any scale, as fine as the tiles are.

        Parameters
        ----------
        mpp
            µm per pixel of the mask; None for one value per pixel of level 0.

        Returns
        -------
        ndarray
            uint8 [h, w]: 0 background, 1 tissue, 2 unreadable.
        """
        if mpp is not None and self.mpp is None:
            raise NephroscaleError(
                "These tiles have no scale.", where=str(self.path), todo="Ask for the mask at level 0."
            )
        ratio = 1.0 if mpp is None or self.mpp is None else mpp / self.mpp
        _, height, width = self.shape(0)
        rows, columns = self.status.shape
        high, wide = max(1, round(height / ratio)), max(1, round(width / ratio))
        down = np.minimum(((np.arange(high) + 0.5) * ratio / self.tile_px).astype(int), rows - 1)
        across = np.minimum(((np.arange(wide) + 0.5) * ratio / self.tile_px).astype(int), columns - 1)
        return self.status[np.ix_(down, across)]

    def table(self) -> list[dict[str, Any]]:
        """Read `tiles.csv`: `row, column, x, y` (int), `status` (str), `tissue_fraction`, `focus` (float or None)."""
        with (self.path / "tiles.csv").open(encoding="utf-8", newline="") as file:
            return [
                {
                    **{key: int(row[key]) for key in ("row", "column", "x", "y")},
                    "status": row["status"],
                    "tissue_fraction": float(row["tissue_fraction"]),
                    "focus": float(row["focus"]) if row["focus"] else None,
                }
                for row in csv.DictReader(file)
            ]


def open_tiles(path: Path) -> Tiles:
    """Open the tiles of a slide, as :func:`nephroscale.slides.tiles.tile_slide` wrote them."""
    return Tiles(path)
