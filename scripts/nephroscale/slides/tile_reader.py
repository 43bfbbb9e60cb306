"""Read the tiles of a slide."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import zarr

from nephroscale.errors import NephroscaleError

PEN_LEVEL = 128  # grey level of pen marks in `mask.png`


class Tiles:
    """The stored tiles of a slide.

    Attributes
    ----------
    mpp
        µm per pixel of level 0; None for a field without a scale.
    origin
        x and y of the corner of level 0, in raw level-0 pixels.
    scale
        Raw level-0 pixels per pixel of level 0.
    tile_px
        Side of a tile in pixels of level 0.
    slide_px
        Width and height of the slide in raw level-0 pixels.
    modality, stain
        As in the table of images; for IM, `stain` is the marker.
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
                "This folder has no tiles.", where=str(path), fix="Run the stage `tiles` again."
            ) from None
        self._attributes = attributes
        self.mpp: float | None = attributes["mpp"]
        self.origin: tuple[float, float] = tuple(attributes["origin"])
        self.scale: float = attributes["scale"]
        self.tile_px: int = attributes["tile_px"]
        self.slide_px: tuple[int, int] = tuple(attributes.get("slide_px", (1, 1)))
        self.modality: str = attributes["modality"]
        self.stain: str | None = attributes["stain"]
        self.calibration: str | None = attributes.get("calibration")
        group: Any = self._group
        multiscale = group.attrs["ome"]["multiscales"][0]
        self._arrays: list[Any] = [group[dataset["path"]] for dataset in multiscale["datasets"]]

    @property
    def levels(self) -> int:
        """Number of levels, each at half the resolution of the one before."""
        return len(self._arrays)

    def shape(self, level: int = 0) -> tuple[int, int, int]:
        """Give channels, height and width of a level."""
        channels, height, width = self._arrays[level].shape
        return channels, height, width

    @property
    def dtype(self) -> np.dtype:
        """uint8 (OM) or uint16 (IM)."""
        dtype: np.dtype = self._arrays[0].dtype
        return dtype

    def read(self, level: int, y: int, x: int, h: int, w: int) -> np.ndarray:
        """Read a region of a level; absent tiles and pixels beyond the edges are 0.

        Parameters
        ----------
        level
            0 is the finest.
        y, x, h, w
            In pixels of that level; the region may reach past its edges.

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
        inside: np.ndarray = array[:, y0:y1, x0:x1]
        if inside.shape[1:] == (h, w):
            return inside
        out = np.zeros((channels, h, w), array.dtype)
        out[:, y0 - y : y1 - y, x0 - x : x1 - x] = inside
        return out

    @cached_property
    def status(self) -> np.ndarray:
        """Status of each tile: uint8 [rows, columns], values of :class:`nephroscale.slides.tile_status.TileStatus`."""
        return np.asarray(self._group["labels/tissue/0"][...])  # type: ignore[index]

    @property
    def pen(self) -> np.ndarray:
        """Pen marks on the whole slide, bool [h, w], at the scale of `mask.png`; 1 x 1 where it is unknown."""
        pen: np.ndarray = self._mask == PEN_LEVEL
        return pen

    @property
    def tissue(self) -> np.ndarray:
        """Tissue of the whole slide, in the same form."""
        tissue: np.ndarray = self._mask > PEN_LEVEL
        return tissue

    @cached_property
    def _mask(self) -> np.ndarray:
        path = self.path / "mask.png"
        placed = "slide_px" in self._attributes and path.is_file()
        mask: np.ndarray | None = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) if placed else None
        return np.zeros((1, 1), np.uint8) if mask is None else mask


def open_tiles(path: Path) -> Tiles:
    """Open the tiles of a slide, as :func:`nephroscale.slides.tiles.tile_slide` wrote them."""
    return Tiles(path)
