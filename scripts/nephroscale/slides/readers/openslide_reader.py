"""OpenSlide, which covers most formats and is the reference for the other readers."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import cv2
import numpy as np
import openslide

from nephroscale.slides.readers.base import SlideReader, UnreadableRegion, UnreadableSlide

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
        self.mpp = mpp_of(properties.get(openslide.PROPERTY_NAME_MPP_X), properties.get(openslide.PROPERTY_NAME_MPP_Y))
        self.mpp_is_generic = self.vendor == "generic-tiff"

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
        pixels = cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB)
        alpha = rgba[..., 3]
        return pixels, None if alpha.all() else alpha > 0

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(*FAULTS):
            self._slide.close()


def mpp_of(x: str | float | None, y: str | float | None) -> float | None:
    """Combine the scales of x and y; None if one is missing or not a number, or pixels are not square."""
    try:
        first, second = float(x), float(y)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    if not (first > 0 and second > 0) or abs(first / second - 1) > 0.02:
        return None
    return first


Reader = OpenslideReader
