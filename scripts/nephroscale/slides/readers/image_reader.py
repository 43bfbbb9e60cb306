"""Fields of view saved as PNG, JPEG or BMP."""

from __future__ import annotations

import struct
import warnings
import zlib
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from nephroscale.slides.readers.base import SlideReader, UnreadableSlide, split_alpha

if TYPE_CHECKING:
    from pathlib import Path

ORIENTATION = 0x0112
MAX_PIXELS = 400_000_000
FAULTS = (OSError, SyntaxError, ValueError, struct.error, zlib.error, OverflowError, Image.DecompressionBombError)
"""What Pillow raises on damaged files."""


class ImageReader(SlideReader):
    """A whole image in memory, with one level.

    Pillow rejects truncated files, which other decoders fill with grey. The resolution in such files is meant for
    printing, so `mpp` is None.
    """

    def __init__(self, path: Path) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                image = Image.open(path, formats=("PNG", "JPEG", "BMP"))
        except FAULTS as fault:
            raise UnreadableSlide("the image cannot be opened") from fault
        with image:
            if image.width * image.height > MAX_PIXELS:
                raise UnreadableSlide("the image is too large for its format; save it as a pyramidal TIFF")
            self.vendor = (image.format or "image").lower()
            try:
                orientation = image.getexif().get(ORIENTATION, 1)  # in a PNG it follows the pixels
                self._pixels, self._valid = _as_array(image)
            except FAULTS as fault:
                raise UnreadableSlide("the image is damaged or truncated") from fault
            if orientation not in {0, 1}:
                raise UnreadableSlide("its orientation tag rotates the image; save it upright")
        self.height, self.width, self.channels = self._pixels.shape
        self.dtype, self.rgb = self._pixels.dtype, self.channels == 3
        self.sizes, self.downsamples = ((self.width, self.height),), (1.0,)

    def read_inside(self, level: int, x: int, y: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray | None]:  # noqa: ARG002
        """Read a region inside a level: pixels, and a mask of those that the file has (None for all)."""
        where = np.s_[y : y + height, x : x + width]
        return self._pixels[where].copy(), None if self._valid is None else self._valid[where].copy()

    def close(self) -> None:
        """Do nothing: the file is already closed."""


def _as_array(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    if image.mode.startswith("I"):  # 16 bits, stored in 16 or 32
        return np.clip(np.asarray(image), 0, 65535).astype(np.uint16)[..., None], None
    if image.mode in {"L", "1"}:
        return np.asarray(image.convert("L"))[..., None], None
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        return split_alpha(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB")), None


Reader = ImageReader
