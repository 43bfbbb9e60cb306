"""Fields of view saved as PNG, JPEG or BMP."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image

from nephroscale.slides.jpeg_data import decode_whole
from nephroscale.slides.readers.base import SlideReader, UnreadableSlide, opaque_pixels
from nephroscale.slides.readers.claims import claim_fault, least_bytes
from nephroscale.slides.readers.colour_profile import picture_doubt
from nephroscale.slides.readers.stated_mpp import PLAUSIBLE_GENERIC_UM, StatedMpp, square_pixels

ORIENTATION = 0x0112
MAX_PIXELS = 180_000_000  # decoding takes up to ten bytes each
ROWS = 1024  # that are converted at once
FAULTS = (OSError, SyntaxError, ValueError, struct.error, zlib.error, OverflowError, imagecodecs.PngError)
"""What Pillow and imagecodecs raise on damaged files."""
UPRIGHT = (0, 1)  # 0 is not defined, and written all the same
JPEG = b"\xff\xd8\xff"
DAMAGED = "the image is damaged or truncated; copy or export it again"
PNG_DEPTH, PNG_KIND = 24, 25  # places of bits per sample and kind of colour in a PNG
PNG_GREY = 0

Image.MAX_IMAGE_PIXELS = None  # the limit is ours


class ImageReader(SlideReader):
    """A whole image in memory, with one level, in 8 or 16 bits.

    Truncated and damaged files are rejected, which many decoders fill with grey. The resolution in such files is mostly
    that of a printer; `mpp` is given where it may be that of a light microscope.
    """

    def __init__(self, path: Path) -> None:
        with open_picture(path) as image:
            self.vendor = (image.format or "image").lower()
            self.mpp, self.mpp_is_generic, self.scale_fault, self.stretch = stated_resolution(image)
            try:
                orientation = image.getexif().get(ORIENTATION, 1)  # in a PNG it follows the pixels
                self._pixels, self._valid = _as_array(image, path)
                self.colour_doubt = picture_doubt(image)
            except FAULTS as fault:
                raise UnreadableSlide(DAMAGED) from fault
            if orientation not in UPRIGHT:
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


def open_picture(path: Path) -> Image.Image:
    """Open a PNG, JPEG or BMP without decoding its pixels.

    Raises
    ------
    UnreadableSlide
        When it is damaged as far as its header shows, too large, or an animation.
    """
    try:
        image = Image.open(path, formats=("PNG", "JPEG", "BMP"))
    except FAULTS as fault:
        with Path(path).open("rb") as file:
            jpeg = file.read(len(JPEG)) == JPEG
        kinds = "; of JPEG, the common kind with 8 bits is read" if jpeg else ""
        raise UnreadableSlide(f"the image is damaged, or of a kind that is not read{kinds}") from fault
    reason = ""
    if image.width * image.height > MAX_PIXELS:
        reason = (
            f"the image has {image.width} x {image.height} pixels, which is too large for its format (more than "
            f"{MAX_PIXELS // 10**6} million); save it as a pyramid, for instance with `vips tiffsave IN OUT --tile "
            "--pyramid --compression deflate`"
        )
    elif image.format == "PNG" and getattr(image, "n_frames", 1) > 1:
        reason = "it is an animated PNG, which is not read; save one picture of it"
    else:
        reason = claim_fault(image.width, image.height, least_bytes(image.mode), Path(path).stat().st_size)
    if reason:
        image.close()
        raise UnreadableSlide(reason)
    return image


def stated_resolution(image: Image.Image) -> StatedMpp:
    """Give the resolution of an open picture where it may be that of a light microscope."""
    sides = [float(f"{25400 / float(dpi):.5g}") for dpi in image.info.get("dpi", ()) if dpi and float(dpi) > 0]
    low, high = PLAUSIBLE_GENERIC_UM
    plausible = len(sides) == 2 and all(low <= side <= high for side in sides)
    return square_pixels(*sides, generic=True) if plausible else StatedMpp()


def _as_array(image: Image.Image, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    if image.format == "PNG" and (deep := decode_deep(Path(path))) is not None:
        return _split(deep) if deep.shape[2] in {2, 4} else (deep, None)
    if image.format == "JPEG" and image.mode in {"L", "RGB"}:  # of a damaged one, Pillow fills a part with grey
        pixels = decode_whole(Path(path))
        if pixels is None or pixels.shape[1::-1] != image.size:
            raise UnreadableSlide(DAMAGED)
        return pixels.reshape(*pixels.shape[:2], -1), None
    if image.mode == "CMYK":  # without a profile nobody knows their colours, and of some not which value is full ink
        raise UnreadableSlide("its colours are inks (CMYK); save it as RGB")
    if image.mode.startswith("I"):  # 16 bits, stored in 16 or 32
        return np.clip(np.asarray(image), 0, 65535).astype(np.uint16)[..., None], None
    transparent = "transparency" in image.info
    if image.mode in {"L", "1"} and not transparent:
        return _converted(image, "L"), None
    if image.mode in {"LA", "L", "1"}:
        return _split(_converted(image, "LA"))
    if image.mode in {"RGBA", "PA"} or transparent:
        return _split(_converted(image, "RGBA"))
    return _converted(image, "RGB"), None


def _converted(image: Image.Image, mode: str) -> np.ndarray:
    """Samples [h, w, channels] of a picture in another mode: in parts, since Pillow copies the whole twice."""
    result = np.empty((image.height, image.width, len(mode)), np.uint8)
    for top in range(0, image.height, ROWS):
        part = image.crop((0, top, image.width, min(top + ROWS, image.height)))
        result[top : top + ROWS] = np.asarray(part.convert(mode)).reshape(part.height, part.width, -1)
    return result


def _split(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """The same as :func:`.base.split_alpha`, without a copy of the colours."""
    return samples[..., :-1], opaque_pixels(samples)


def decode_deep(path: Path) -> np.ndarray | None:
    """Decode a PNG of 16 bits in colour or with transparency [h, w, channels], of which Pillow keeps 8; else None."""
    with path.open("rb") as file:
        head = file.read(PNG_KIND + 1)
        if head[PNG_DEPTH] != 16 or head[PNG_KIND] == PNG_GREY:
            return None
        file.seek(0)
        decoded: np.ndarray = imagecodecs.png_decode(file.read())
    return decoded


Reader = ImageReader
