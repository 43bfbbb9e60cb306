"""A slide whose pixels are not square, resampled along one axis so that they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from nephroscale.slides.readers.base import SlideReader

if TYPE_CHECKING:
    from nephroscale.slides.readers.stated_mpp import Stretch

MOST_PX = 16_384  # side of a region that OpenCV resamples at once; it cannot above 32,767


class SquarePixels(SlideReader):
    """An open slide with square pixels, as large as the shorter side of the file's.

    Pixels are interpolated linearly at positions that are fixed to the slide, so that regions fit together.

    Parameters
    ----------
    reader
        The open slide, which is closed with this one.
    stretch
        Square pixels per pixel of the file along x and y, at least 1.
    """

    def __init__(self, reader: SlideReader, stretch: Stretch) -> None:
        for name in ("vendor", "mpp", "mpp_is_generic", "downsamples", "channels", "dtype", "rgb", "channel_names"):
            setattr(self, name, getattr(reader, name))
        self.parallel, self.scale_fault = reader.parallel, reader.scale_fault
        self.scale_doubt, self.colour_doubt = reader.scale_doubt, reader.colour_doubt
        self.exposures_ms, self.absent_channels = reader.exposures_ms, reader.absent_channels
        self._reader, self._stretch = reader, stretch
        self.sizes = tuple(
            (max(1, int(wide * stretch[0] + 1e-6)), max(1, int(high * stretch[1] + 1e-6)))
            for wide, high in reader.sizes
        )
        self.width, self.height = self.sizes[0]

    def read_inside(self, level: int, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Read a region inside a level: pixels, and a mask of those that the file has (None for all)."""
        if width > MOST_PX or height > MOST_PX:
            return self._in_halves(level, x, y, width, height)
        # OpenCV rounds positions to 1/32 of a pixel. Rounding them first makes them equal for all regions.
        across, along = (
            np.clip(np.round(((np.arange(a, a + n) + 0.5) / stretch - 0.5) * 32) / 32, 0, size - 1)
            for a, n, stretch, size in zip(
                (x, y), (width, height), self._stretch, self._reader.sizes[level], strict=True
            )
        )
        x0, y0 = int(across[0]), int(along[0])
        x1, y1 = (
            min(int(last) + 2, size)
            for last, size in zip((across[-1], along[-1]), self._reader.sizes[level], strict=True)
        )
        pixels, valid = self._reader.read_inside(level, x0, y0, x1 - x0, y1 - y0)
        right, down = np.meshgrid((across - x0).astype(np.float32), (along - y0).astype(np.float32))
        resampled = cv2.remap(
            np.ascontiguousarray(pixels), right, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        resampled = resampled.reshape(height, width, -1)
        if valid is None:
            return resampled, None
        # A pixel that is made of some that the file does not have is none of the file.
        known = cv2.remap(valid.astype(np.float32), right, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return resampled, known > 1 - 1e-6

    def _in_halves(self, level: int, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray | None]:
        axis = 0 if height > width else 1
        half = max(width, height) // 2
        boxes = (
            [(x, y, width, half), (x, y + half, width, height - half)]
            if axis == 0
            else [(x, y, half, height), (x + half, y, width - half, height)]
        )
        parts = [self.read_inside(level, *box) for box in boxes]
        known = [np.ones(part.shape[:2], bool) if valid is None else valid for part, valid in parts]
        whole = all(valid is None for _, valid in parts)
        return np.concatenate([part for part, _ in parts], axis), None if whole else np.concatenate(known, axis)

    def close(self) -> None:
        """Close the file."""
        self._reader.close()
