"""Read the tiles of a slide."""

from __future__ import annotations

import importlib
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import zarr

from nephroscale.errors import NephroscaleError
from nephroscale.slides.tile_status import SLIDE_PIXELS

PEN_LEVEL, FOLD_LEVEL, BUBBLE_LEVEL = 128, 192, 224  # of pen marks, and of folds and bubbles in tissue, in `mask.png`


class PixelSource(Protocol):
    """Where the pixels of tiles come from: the stored pyramid, or the slide."""

    @property
    def dtype(self) -> np.dtype:
        """uint8 (OM) or uint16 (IM)."""

    @property
    def shapes(self) -> list[tuple[int, int, int]]:
        """Channels, height and width of each level."""

    def read(self, level: int, y0: int, x0: int, y1: int, x1: int) -> np.ndarray:
        """Read a region inside a level, [c, y1 - y0, x1 - x0]; absent tiles are 0."""


class StoredPixels:
    """The stored pyramid of a slide's tiles."""

    def __init__(self, group: Any) -> None:
        self._arrays = [group[dataset["path"]] for dataset in group.attrs["ome"]["multiscales"][0]["datasets"]]
        self.dtype: np.dtype = self._arrays[0].dtype
        self.shapes: list[tuple[int, int, int]] = [array.shape for array in self._arrays]

    def read(self, level: int, y0: int, x0: int, y1: int, x1: int) -> np.ndarray:
        """Read a region inside a level, [c, y1 - y0, x1 - x0]; absent tiles are 0."""
        return np.asarray(self._arrays[level][:, y0:y1, x0:x1])


class Tiles:
    """The tiles of a slide.

    Parameters
    ----------
    path
        Folder that :func:`nephroscale.slides.tiles.tile_slide` wrote.
    slide
        The raw file, from which pixels are read where the folder has none.

    Attributes
    ----------
    mpp
        µm per pixel of level 0; None for a field without a scale.
    origin
        x and y of the corner of level 0, in raw level-0 pixels.
    scale
        Raw level-0 pixels per pixel of level 0; along the shorter side of a raw pixel that is not square.
    raw_px
        The same along x and y.
    tile_px
        Side of a tile in pixels of level 0.
    slide_px
        Width and height of the slide in raw level-0 pixels.
    modality, stain
        As in the table of images; for IM, `stain` is the marker.
    calibration
        `calibrated` or `pattern-only`; None for OM.
    """

    def __init__(self, path: Path, slide: Path | None = None) -> None:
        self.path, self._slide = Path(path), slide
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
        across, along = attributes.get("stretch", (1.0, 1.0))
        self.raw_px: tuple[float, float] = (self.scale / across, self.scale / along)
        self.tile_px: int = attributes["tile_px"]
        self.slide_px: tuple[int, int] = tuple(attributes.get("slide_px", (1, 1)))
        self.modality: str = attributes["modality"]
        self.stain: str | None = attributes["stain"]
        self.calibration: str | None = attributes.get("calibration")

    @cached_property
    def _pixels(self) -> PixelSource:
        if "pixels" not in self._attributes:
            return StoredPixels(self._group)
        if self._slide is None:
            raise NephroscaleError(
                "These tiles have no pixels (keep: coordinates), and the slide to read them from is not given.",
                where=self.path.name,
                fix="Set om.keep and im.keep to `pixels`, or read them by a stage that has the slide.",
            )
        pixels: PixelSource = importlib.import_module(SLIDE_PIXELS).open_pixels(
            self.path, self._attributes, self.status, self._slide
        )
        return pixels

    @cached_property
    def _shapes(self) -> list[tuple[int, int, int]]:
        # Also of tiles without pixels whose slide is not at hand: a report draws them on a thumbnail.
        pixels = self._attributes.get("pixels")
        return [tuple(shape) for shape in pixels["shapes"]] if pixels else self._pixels.shapes

    @property
    def levels(self) -> int:
        """Number of levels, each at half the resolution of the one before."""
        return len(self._shapes)

    def shape(self, level: int = 0) -> tuple[int, int, int]:
        """Give channels, height and width of a level."""
        return self._shapes[level]

    @property
    def dtype(self) -> np.dtype:
        """uint8 (OM) or uint16 (IM)."""
        return self._pixels.dtype

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
        channels, high, wide = self.shape(level)
        y0, x0, y1, x1 = max(y, 0), max(x, 0), min(y + h, high), min(x + w, wide)
        if y0 >= y1 or x0 >= x1:
            return np.zeros((channels, h, w), self.dtype)
        inside = self._pixels.read(level, y0, x0, y1, x1)
        if inside.shape[1:] == (h, w):
            return inside
        out = np.zeros((channels, h, w), self.dtype)
        out[:, y0 - y : y1 - y, x0 - x : x1 - x] = inside
        return out

    @cached_property
    def status(self) -> np.ndarray:
        """Status of each tile: uint8 [rows, columns], values of :class:`nephroscale.slides.tile_status.TileStatus`."""
        return np.asarray(self._group["labels/tissue/0"][...])  # type: ignore[index]

    @property
    def pen(self) -> np.ndarray:
        """Pen marks on the whole slide, bool [h, w], at the scale of `mask.png`; 1 x 1 where it is unknown."""
        return np.asarray(self._mask == PEN_LEVEL)

    @property
    def tissue(self) -> np.ndarray:
        """Tissue of the whole slide, in the same form."""
        return np.asarray(self._mask > PEN_LEVEL)

    @cached_property
    def _mask(self) -> np.ndarray:
        path = self.path / "mask.png"
        placed = "slide_px" in self._attributes and path.is_file()
        mask: np.ndarray | None = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) if placed else None
        return np.zeros((1, 1), np.uint8) if mask is None else mask


def open_tiles(path: Path, slide: Path | None = None) -> Tiles:
    """Open the tiles of a slide (:class:`Tiles`)."""
    return Tiles(path, slide)
