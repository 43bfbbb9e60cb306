"""TIFF files that OpenSlide does not read or reduces to 8 bits: plain, OME and ImageJ, 8 or 16 bits."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET  # files with entities are rejected below

import numpy as np
import tifffile
import zarr

from nephroscale.slides.readers.base import SlideReader, UnreadableRegion, UnreadableSlide

if TYPE_CHECKING:
    from pathlib import Path

MICROMETRES = {"µm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "\\u00b5m": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4}
PER_UNIT = {2: 25400.0, 3: 10000.0}
MINISWHITE = 0
PALETTE = 3


class TifffileReader(SlideReader):
    """The first series of a TIFF, read region by region; negative pixels become zero."""

    def __init__(self, path: Path) -> None:
        try:
            self._tiff = tifffile.TiffFile(path)
        except Exception as fault:  # tifffile raises exceptions of any class
            raise UnreadableSlide(f"the TIFF cannot be read: {fault}") from fault
        try:
            self._set_up()
        except UnreadableSlide:
            self._tiff.close()
            raise
        except Exception as fault:
            self._tiff.close()
            raise UnreadableSlide(f"the TIFF cannot be read: {fault}") from fault

    def _set_up(self) -> None:
        tiff = self._tiff
        if not tiff.series:
            raise UnreadableSlide("the TIFF has no image")
        series = tiff.series[0]
        page = series.keyframe
        if page.photometric == PALETTE:
            raise UnreadableSlide("a TIFF with a colour table is not supported; save it as grey or RGB")
        if series.dtype is None or series.dtype.kind not in "ui" or series.dtype.itemsize > 2:
            raise UnreadableSlide(f"pixels of type {series.dtype} are not supported; save 8 or 16 bits")
        self._inverted = page.photometric == MINISWHITE
        self._levels = [(level, _Axes(level)) for level in series.levels]
        first = self._levels[0][1]
        self.sizes = tuple((axes.width, axes.height) for _, axes in self._levels)
        self.width, self.height = self.sizes[0]
        self.downsamples = tuple((self.width / w + self.height / h) / 2 for w, h in self.sizes)
        self.channels, self.dtype = first.channels, np.dtype(np.uint8 if series.dtype.itemsize == 1 else np.uint16)
        self.rgb = first.samples and self.channels == 3
        self.vendor = "ome-tiff" if tiff.is_ome else "imagej" if tiff.is_imagej else "tiff"
        self.mpp, self.mpp_is_generic, self.channel_names = scale_and_names(tiff)
        self._arrays: dict[int, Any] = {}

    def _array(self, level: int) -> Any:
        if level not in self._arrays:
            opened = zarr.open(self._levels[level][0].aszarr(), mode="r")
            self._arrays[level] = opened if isinstance(opened, zarr.Array) else opened["0"]
        return self._arrays[level]

    def read_inside(self, level: int, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Read a region inside a level: pixels, and a mask of those that the file has (None for all)."""
        axes = self._levels[level][1]
        where = tuple(
            slice(y, y + height)
            if name == "Y"
            else slice(x, x + width)
            if name == "X"
            else slice(None)
            if name == axes.channel_axis
            else 0
            for name in axes.names
        )
        try:
            pixels = np.asarray(self._array(level)[where])
        except Exception as fault:  # decoders raise exceptions of any class
            raise UnreadableRegion(str(fault)) from fault
        if axes.channel_axis is None:
            pixels = pixels[..., None]
        elif axes.names.index(axes.channel_axis) < axes.names.index("Y"):
            pixels = np.moveaxis(pixels, 0, -1)
        pixels = pixels[..., : self.channels]
        if pixels.dtype.kind == "i":
            pixels = np.maximum(pixels, 0)
        pixels = np.ascontiguousarray(pixels.astype(self.dtype, copy=False))
        return np.iinfo(self.dtype).max - pixels if self._inverted else pixels, None

    def close(self) -> None:
        """Close the file."""
        self._arrays.clear()
        with contextlib.suppress(OSError):
            self._tiff.close()


class _Axes:
    """The axes of one level."""

    def __init__(self, level: tifffile.TiffPageSeries) -> None:
        self.names = level.axes
        sizes = dict(zip(level.axes, level.shape, strict=True))
        if "Y" not in sizes or "X" not in sizes:
            raise UnreadableSlide(f"axes {level.axes} are not those of an image")
        deep = [name for name in self.names if name not in "YXSC" and sizes[name] > 1]
        if deep:
            raise UnreadableSlide(f"it is a stack (axis {deep[0]}); save one plane or a projection")
        self.samples = sizes.get("S", 1) > 1
        if self.samples and sizes.get("C", 1) > 1:
            raise UnreadableSlide("it has several colour images; save only one")
        self.channel_axis = "S" if self.samples else "C" if "C" in sizes else "S" if "S" in sizes else None
        self.width, self.height = sizes["X"], sizes["Y"]
        count = sizes[self.channel_axis] if self.channel_axis else 1
        self.channels = 3 if self.samples and count >= 3 else 1 if self.samples else count


def scale_and_names(tiff: tifffile.TiffFile) -> tuple[float | None, bool, tuple[str, ...]]:
    """Read µm per pixel, whether it comes from generic tags only, and the names of channels."""
    page = tiff.pages.first
    if tiff.is_ome and tiff.ome_metadata and "<!ENTITY" not in tiff.ome_metadata:
        root = ET.fromstring(tiff.ome_metadata)  # noqa: S314
        pixels = next((e for e in root.iter() if e.tag.endswith("}Pixels")), None)
        if pixels is not None:
            names = tuple(e.get("Name") or "" for e in pixels if e.tag.endswith("}Channel"))
            scales = [
                float(pixels.get(f"PhysicalSize{a}", "nan"))
                * MICROMETRES.get(pixels.get(f"PhysicalSize{a}Unit", "µm"), np.nan)
                for a in "XY"
            ]
            return _square(*scales), False, names
    tags = [page.tags.valueof(tag) for tag in ("XResolution", "YResolution")]
    if None in tags or any(not n or not d for n, d in tags):
        return None, False, ()
    per_pixel = [d / n for n, d in tags]
    if tiff.is_imagej:
        unit = MICROMETRES.get(str((tiff.imagej_metadata or {}).get("unit", "")), np.nan)
        return _square(*(unit * s for s in per_pixel)), False, ()
    unit = PER_UNIT.get(int(page.tags.valueof("ResolutionUnit", 1)), np.nan)
    return _square(*(unit * s for s in per_pixel)), True, ()


def _square(x: float, y: float) -> float | None:
    return float(x) if x > 0 and y > 0 and abs(x / y - 1) <= 0.02 else None


Reader = TifffileReader
