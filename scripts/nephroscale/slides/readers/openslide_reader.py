"""OpenSlide, which covers most formats and is the reference for the other readers."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np
import openslide
import tifffile

from nephroscale.slides.readers.base import SlideReader, UnreadableRegion, UnreadableSlide, split_alpha
from nephroscale.slides.readers.stated_mpp import StatedMpp, read_mpp, square_pixels

if TYPE_CHECKING:
    from pathlib import Path

FAULTS = (openslide.OpenSlideError, OSError)


class OpenslideReader(SlideReader):
    """Any format of OpenSlide, as RGB; transparent pixels are not valid."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._slide = self._open()
            properties = self._slide.properties
            self.sizes = tuple(self._slide.level_dimensions)
            self.downsamples = tuple(float(d) for d in self._slide.level_downsamples)
        except FAULTS as fault:
            raise UnreadableSlide(f"OpenSlide cannot open it: {fault}") from fault
        self.width, self.height = self.sizes[0]
        self.vendor = properties.get(openslide.PROPERTY_NAME_VENDOR, "unknown")
        stated = _stated(path) if self.vendor == "generic-tiff" else None  # OpenSlide reads only its plain tags
        if stated is None:
            sides = (properties.get(name) for name in (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y))
            stated = square_pixels(*sides, generic=self.vendor == "generic-tiff")
        self.mpp, self.mpp_is_generic, self.scale_fault, self.stretch = stated

    def _open(self) -> openslide.OpenSlide:
        return openslide.OpenSlide(self.path)

    def read_inside(self, level: int, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Read a region inside a level: pixels, and a mask of those that the file has (None for all)."""
        factor = self.downsamples[level]
        corner = (round(x * factor), round(y * factor))
        try:
            rgba = np.asarray(self._slide.read_region(corner, level, (width, height)))
        except FAULTS as fault:
            # After a failed read every later call on the handle fails, so it is opened again.
            with contextlib.suppress(*FAULTS):
                self._slide.close()
            try:
                self._slide = self._open()
            except FAULTS as again:
                raise UnreadableSlide(f"OpenSlide cannot open it again: {again}") from again
            raise UnreadableRegion(str(fault)) from fault
        return split_alpha(rgba)

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(*FAULTS):
            self._slide.close()


def _stated(path: Path) -> StatedMpp | None:
    try:
        with tifffile.TiffFile(path) as tiff:
            return read_mpp(tiff)
    except Exception:  # tifffile raises exceptions of any class, on files that OpenSlide can open
        return None


Reader = OpenslideReader
