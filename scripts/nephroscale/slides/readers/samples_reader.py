"""Electron micrographs: any picture that :mod:`nephroscale.slides.samples` reads, whole in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nephroscale.errors import Rejected
from nephroscale.slides.readers.base import SlideReader, UnreadableSlide
from nephroscale.slides.samples import read_picture_header, read_samples


class SamplesReader(SlideReader):
    """A whole picture, with one level; values other than 8 or 16 bits are stretched over 16 bits."""

    def __init__(self, path: Path, page: int | None = None) -> None:
        try:
            header = read_picture_header(path, page)
            pixels = read_samples(path, page)
        except Rejected as verdict:
            raise UnreadableSlide(verdict.reason) from verdict
        self._pixels = _as_unsigned(pixels if pixels.ndim == 3 else pixels[..., None])
        self.vendor = "micrograph"
        self.mpp = None if header.scale is None else header.scale.nm_per_px / 1000
        self.scale_fault = "" if header.scale else header.scale_fault
        self.height, self.width, self.channels = self._pixels.shape
        self.dtype, self.rgb = self._pixels.dtype, self.channels == 3
        self.sizes, self.downsamples = ((self.width, self.height),), (1.0,)

    def read_inside(self, level: int, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray | None]:  # noqa: ARG002
        """Read a region inside a level: pixels, and a mask of those that the file has (None for all)."""
        return self._pixels[y : y + height, x : x + width].copy(), None

    def close(self) -> None:
        """Do nothing: the file is already closed."""


def _as_unsigned(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype in (np.uint8, np.uint16):
        return pixels
    values = pixels.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    return np.rint((values - low) / max(high - low, np.finfo(np.float64).tiny) * 65535).astype(np.uint16)


Reader = SamplesReader
