"""Read all samples of one picture: grey or RGB as the file means them, whatever its type of number and colour space."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nephroscale.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Sequence

    import tifffile

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
RASTERS = ("PNG", "JPEG", "BMP", "JPEG2000")
ORIENTATION = 274
UPRIGHT = (0, 1)  # 0 is not defined, and written all the same
LAB = ("CIELAB", "ICCLAB", "ITULAB")
MOST_PIXELS = 1_500_000_000

FOREIGN = (
    (0, b"\0\0\0\3", "a DM3 file of Gatan DigitalMicrograph"),
    (0, b"\0\0\0\4", "a DM4 file of Gatan DigitalMicrograph"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file (EMD, or another)"),
    (0, b"II\x97\1", "a SER file of TIA"),
    (208, b"MAP ", "an MRC file"),
    (0, b"GIF8", "a GIF"),
    (8, b"WEBP", "a WebP"),
    (0, b"%PDF", "a PDF"),
)
"""Formats that are not read: place and first bytes, and the name."""


def read_samples(path: Path) -> np.ndarray:
    """Read a picture.

    Parameters
    ----------
    path
        PNG, JPEG, BMP, JPEG 2000, or TIFF with 8 or more bits, signed or unsigned, or floating point, grey, RGB, CMYK
        or with a colour table. Of several pages of a TIFF the largest is read, and of equal ones the one with most
        bits.

    Returns
    -------
    numpy.ndarray
        [h, w] grey or [h, w, 3] RGB, in the file's type of number; the highest value is white.

    Raises
    ------
    Rejected
        When the file is not such a picture, is truncated, is too large, or has several pages of one kind.
    """
    data = Path(path).read_bytes()  # a file system error is not a rejection
    try:
        pixels = _decode_tiff(data) if data[:4] in TIFF_MAGIC else _decode_raster(data)
    except (MemoryError, ImportError, Rejected):
        raise
    except Exception as error:  # decoders raise exceptions of any class
        raise Rejected(f"image cannot be decoded ({type(error).__name__})") from error
    if pixels.ndim == 3:
        pixels = pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., 0]
    if pixels.ndim not in {2, 3}:
        raise Rejected(f"image has the shape {'x'.join(map(str, pixels.shape))}, which is not a picture")
    if not np.isfinite(pixels).all():
        raise Rejected("image has values that are not finite")
    return pixels


def read_size(path: Path) -> tuple[int, int]:
    """Width and height of the picture that :func:`read_samples` reads, from the header alone.

    Raises
    ------
    Rejected
        When the header shows that it cannot be read.
    """
    from PIL import Image

    with Path(path).open("rb") as file:
        head = file.read(256)
    if head[:4] in TIFF_MAGIC:
        import tifffile

        try:
            with tifffile.TiffFile(path) as tiff:
                page = _choose_page(_pages(tiff))
                return int(page.imagewidth), int(page.imagelength)
        except Rejected:
            raise
        except Exception as error:
            raise Rejected("cannot be opened: the TIFF is damaged or truncated") from error
    _refuse_foreign(head)
    try:
        with Image.open(path, formats=RASTERS) as image:
            return image.width, image.height
    except Exception as error:
        raise Rejected("cannot be opened: the image cannot be opened") from error


def _refuse_turned(orientation: object) -> None:
    if orientation not in UPRIGHT:
        raise Rejected("its orientation tag rotates the image; save it upright")


def _refuse_foreign(head: bytes) -> None:
    if not head:
        raise Rejected("cannot be opened: the file is empty (0 bytes)")
    for place, magic, name in FOREIGN:
        if head[place:].startswith(magic):
            raise Rejected(f"it is {name}, which is not read; export it as TIFF with all its bits")


def _decode_tiff(data: bytes) -> np.ndarray:
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        page = _choose_page(_pages(tiff))
        if page.imagelength * page.imagewidth > MOST_PIXELS:
            raise Rejected(f"image has {page.imagewidth} x {page.imagelength} pixels, which is too large")
        _refuse_turned(page.tags.valueof(ORIENTATION, 1))
        photometric = tifffile.PHOTOMETRIC(page.photometric)
        if photometric.name in LAB:
            raise Rejected("image is in CIELab; save it in grey or RGB")
        pixels = page.asarray()
        if page.axes.startswith("S") and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
        if pixels.dtype == bool:
            pixels = pixels.astype(np.uint8) * 255
        if photometric is tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
            return np.moveaxis(page.colormap[:, pixels], 0, -1)
        if photometric is tifffile.PHOTOMETRIC.SEPARATED:
            return _from_cmyk(pixels)
        if photometric is tifffile.PHOTOMETRIC.MINISWHITE:
            return _inverted(pixels)
        if photometric is tifffile.PHOTOMETRIC.YCBCR and page.compression not in _JPEGS:
            return _from_ycbcr(pixels)
    return pixels


_JPEGS = (6, 7, 33003, 33005, 34712)
"""Compressions whose decoders give RGB."""


def _pages(tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """All pages, with those that hang below others."""
    found = []
    for page in tiff.pages:
        whole = page.aspage()
        found.append(whole)
        found += [sub.aspage() for sub in whole.pages or ()]
    return found


def _choose_page(pages: Sequence[tifffile.TiffPage]) -> tifffile.TiffPage:
    """The page with the picture: the largest one; among equal ones that with most bits."""
    pictures = [page for page in pages if page.ndim in {2, 3} and page.dtype is not None]
    if not pictures:
        raise Rejected("the TIFF has no image")
    largest = max(page.imagelength * page.imagewidth for page in pictures)
    full = [page for page in pictures if page.imagelength * page.imagewidth == largest]
    bits = max(_bits(page) for page in full)
    best = [page for page in full if _bits(page) == bits]
    if len(best) > 1:
        raise Rejected(f"the TIFF has {len(best)} pages of one size and type; save the one that is meant as a file")
    return best[0]


def _bits(page: tifffile.TiffPage) -> int:
    return np.dtype(page.dtype).itemsize


def _from_cmyk(pixels: np.ndarray) -> np.ndarray:
    """Convert inks [h, w, 4] to RGB, without a colour profile; the highest value is full ink."""
    if pixels.ndim != 3 or pixels.shape[2] < 4 or pixels.dtype.kind != "u":
        raise Rejected("image has inks other than CMYK; save it in grey or RGB")
    full = float(np.iinfo(pixels.dtype).max)
    inks = pixels[..., :4].astype(np.float32) / full
    colours = (1 - inks[..., :3]) * (1 - inks[..., 3:])
    return np.asarray(np.rint(colours * full).astype(pixels.dtype))


def _from_ycbcr(pixels: np.ndarray) -> np.ndarray:
    """Convert Y, Cb, Cr [h, w, 3] uint8 to RGB (Rec. 601, full range)."""
    if pixels.ndim != 3 or pixels.shape[2] < 3 or pixels.dtype != np.uint8:
        raise Rejected("image is in YCbCr of an uncommon layout; save it in grey or RGB")
    luma, blue, red = np.moveaxis(pixels[..., :3].astype(np.float32), -1, 0)
    blue, red = blue - 128, red - 128
    colours = np.stack([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue], axis=-1)
    return np.asarray(np.clip(np.rint(colours), 0, 255).astype(np.uint8))


def _inverted(pixels: np.ndarray) -> np.ndarray:
    """Turn values of which the lowest is white into values of which the highest is."""
    if pixels.dtype.kind == "u":
        return np.asarray(np.iinfo(pixels.dtype).max - pixels)
    return np.asarray(-pixels.astype(np.float32))


def _decode_raster(data: bytes) -> np.ndarray:
    from PIL import Image

    _refuse_foreign(data[:256])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(data), formats=RASTERS) as opened:
            opened.load()  # raises if the file is truncated; OpenCV would fill it with grey
            _refuse_turned(opened.getexif().get(ORIENTATION, 1))  # in a PNG it follows the pixels
            image: Image.Image = opened
            if image.mode in {"1", "P", "PA", "CMYK", "YCbCr", "RGBA", "LA"}:
                image = image.convert("L" if image.mode in {"1", "LA"} else "RGB")
            return np.asarray(image)
