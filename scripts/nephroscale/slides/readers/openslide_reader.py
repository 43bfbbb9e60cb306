"""OpenSlide: the widest coverage, and the reference for every other reader."""

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
    """Any format that OpenSlide opens, as RGB with the transparent parts marked."""

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
        """Read a region that lies inside a level: pixels, and which of them the file has (None for all)."""
        factor = self.downsamples[level]
        corner = (round(x * factor), round(y * factor))
        try:
            rgba = np.asarray(self._slide.read_region(corner, level, (width, height)))
        except FAULTS as fault:
            # A failed read poisons the handle: every later call on it fails, good regions too.
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
        """Let go of the file."""
        with contextlib.suppress(*FAULTS):
            self._slide.close()


def mpp_of(x: str | float | None, y: str | float | None) -> float | None:
    """One scale from those of x and y; None where one is absent or no number, or the pixels are not square."""
    try:
        first, second = float(x), float(y)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    if not (first > 0 and second > 0) or abs(first / second - 1) > 0.02:
        return None
    return first


Reader = OpenslideReader
