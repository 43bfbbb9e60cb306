"""Read one TEM image as 8-bit grey."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from nephroscale.errors import Rejected

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def read_tem(path: Path) -> np.ndarray:
    """Read a TEM image as grey levels.

    Colour is converted to luma (Rec. 601). More than 8 bits are stretched from the 0.5th to the 99.5th percentile,
    without the lowest and the highest value: a burned-in bar has one of them, far from the levels of the camera.

    Parameters
    ----------
    path
        PNG, JPEG or TIFF (first page) of 8 or 16 bits, or floating point.

    Returns
    -------
    numpy.ndarray
        uint8 [h, w].

    Raises
    ------
    Rejected
        When the file is not such an image, is truncated, or has only one value.
    """
    data = Path(path).read_bytes()  # a file system error is not a rejection
    try:
        pixels = _decode_tiff(data) if data[:4] in TIFF_MAGIC else _decode_raster(data)
    except (MemoryError, ImportError):
        raise
    except Exception as error:  # decoders raise exceptions of any class
        raise Rejected(f"image cannot be decoded ({type(error).__name__})") from error
    if pixels.ndim not in (2, 3) or min(pixels.shape[:2]) < 8:
        raise Rejected(f"image has the shape {'x'.join(map(str, pixels.shape))}, which is not a picture")
    grey = _luma(pixels)
    if not np.isfinite(grey).all():
        raise Rejected("image has values that are not finite")
    if grey.min() == grey.max():
        raise Rejected("image has only one grey level")
    levels: np.ndarray = np.rint(grey if pixels.dtype == np.uint8 else _stretch(grey))
    return levels.astype(np.uint8)


def _decode_tiff(data: bytes) -> np.ndarray:
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        page = tiff.pages.first
        pixels = page.asarray()
        if page.axes.startswith("S") and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
        if page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
            pixels = np.moveaxis(page.colormap[:, pixels], 0, -1)
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind == "u":
            pixels = np.iinfo(pixels.dtype).max - pixels
    return pixels.astype(np.uint8) * 255 if pixels.dtype == bool else pixels


def _decode_raster(data: bytes) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=["PNG", "JPEG"]) as opened:
        opened.load()  # raises if the file is truncated; OpenCV would fill it with grey
        image: Image.Image = opened
        if image.mode in ("1", "P", "PA", "CMYK", "YCbCr", "RGBA", "LA"):
            image = image.convert("L" if image.mode in ("1", "LA") else "RGB")
        return np.asarray(image)


def _luma(pixels: np.ndarray) -> np.ndarray:
    if pixels.ndim == 2:
        return pixels.astype(np.float32)
    if pixels.shape[2] < 3:
        return pixels[..., 0].astype(np.float32)
    return pixels[..., :3].astype(np.float32) @ LUMA


def _stretch(grey: np.ndarray) -> np.ndarray:
    inner = grey[(grey > grey.min()) & (grey < grey.max())]
    low, high = np.percentile(inner if inner.size > grey.size // 2 else grey, [0.5, 99.5])
    if high <= low:
        low, high = float(grey.min()), float(grey.max())
    stretched: np.ndarray = np.clip((grey - low) / (high - low), 0, 1) * 255
    return stretched
