"""Read all samples of one picture: grey or RGB as the file means them, whatever its type of number and colour space."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nephroscale.errors import Rejected
from nephroscale.slides.foreign_formats import foreign_fault
from nephroscale.slides.jpeg_data import decode_whole, ends_early, is_damaged
from nephroscale.slides.microscope_scale import (
    MicroscopeScale,
    other_width,
    read_sidecar_scale,
    read_tiff_scale,
    sidecar_fault,
    unequal_sides,
)
from nephroscale.slides.readers.claims import LARGEST_IS_COPY, claim_fault, least_bytes
from nephroscale.slides.readers.image_reader import decode_deep
from nephroscale.slides.readers.padded_strips import tolerate_padding
from nephroscale.slides.readers.stated_mpp import NOT_SQUARE, read_mpp
from nephroscale.slides.stacks import choose_plane, kind_of_stack, open_stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    import tifffile
    from PIL import Image

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
JPEG = b"\xff\xd8\xff"
RASTERS = ("PNG", "JPEG", "BMP", "JPEG2000")
ORIENTATION = 274
UPRIGHT = (0, 1)  # 0 is not defined, and written all the same
REDUCED = 1  # kind of page
OPAQUE, MOST_TRANSPARENT = 128, 0.001  # opacity of a pixel that counts, and the largest share of others
TRANSPARENT = "a part of it is transparent; save it without transparency, or cut this part off"
DAMAGED = "image cannot be decoded (its data end early or are damaged); copy or export it again"
TWO_CHANNELS = 2  # grey and opacity
GREY = ("MINISWHITE", "MINISBLACK")
JPEG_IN_TIFF = 7
OPACITIES = (1, 2)  # kinds of a further sample
EIGHT_BITS = 8
LAB = ("CIELAB", "ICCLAB", "ITULAB")
MOST_PIXELS = 180_000_000  # cleaning takes up to 18 bytes each, and the job of a patient has 4 GB


class PictureHeader(NamedTuple):
    """What is known of a picture without its pixels.

    Attributes
    ----------
    width, height
        Pixels.
    scale
        What a microscope wrote; None where there is none.
    scale_fault
        Why a scale in the file cannot be used; empty otherwise.
    """

    width: int
    height: int
    scale: MicroscopeScale | None
    scale_fault: str = ""


def read_samples(path: Path, page: int | None = None) -> np.ndarray:
    """Read a picture.

    Parameters
    ----------
    path
        PNG, JPEG, BMP, JPEG 2000, or TIFF with 8 or more bits, signed or unsigned, or floating point, grey, RGB, CMYK
        or with a colour table; MRC; and the formats of :mod:`nephroscale.slides.tem_formats`. Of several pages the
        largest is read, and of equal ones the one with most bits.
    page
        Which page to read instead, from 1.

    Returns
    -------
    numpy.ndarray
        [h, w] grey or [h, w, 3] RGB, in the file's type of number; the highest value is white.

    Raises
    ------
    Rejected
        When the file is not such a picture, is truncated, is too large, or has several pages of one kind.
    """
    head = _read_head(path)
    try:
        if head[:4] in TIFF_MAGIC:
            pixels = _decode_tiff(Path(path), page)
        elif kind := kind_of_stack(Path(path), head):
            with open_stack(Path(path), kind) as stack:
                _refuse_large(stack.width, stack.height)
                pixels = stack.read(choose_plane(stack, page))
        else:
            pixels = _decode_raster(Path(path), head, page)
    except (MemoryError, ImportError, Rejected):
        raise
    except Exception as error:  # decoders raise exceptions of any class
        raise Rejected(f"image cannot be decoded ({type(error).__name__}); copy or export it again") from error
    if pixels.dtype.kind not in "uif":
        raise Rejected(f"image has numbers of type {pixels.dtype}, which is not a picture; save it in 8 or 16 bits")
    if pixels.ndim == 3:
        pixels = pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., 0]
    if pixels.ndim not in {2, 3}:
        raise Rejected(f"image has the shape {'x'.join(map(str, pixels.shape))}, which is not a picture; export one")
    if pixels.dtype.kind == "f" and not (finite := np.isfinite(pixels)).all():
        count = finite.size - np.count_nonzero(finite)
        raise Rejected(
            f"image has values that are not finite ({count} of {finite.size} are NaN or infinite); cut them off or "
            "fill them, and save it in 16 bits"
        )
    return pixels


def read_picture_header(path: Path, page: int | None = None) -> PictureHeader:
    """Read size and scale of the picture that :func:`read_samples` reads.

    Parameters
    ----------
    path, page
        As there. No pixel of it is decoded, except in a few formats of microscopes.

    Raises
    ------
    Rejected
        When the header shows that it cannot be read.
    """
    head = _read_head(path)
    try:
        if head[:4] in TIFF_MAGIC:
            header = _tiff_header(Path(path), page)
        elif kind := kind_of_stack(Path(path), head):
            with open_stack(Path(path), kind) as stack:
                choose_plane(stack, page)
                header = PictureHeader(stack.width, stack.height, stack.scale, stack.scale_fault)
        else:
            with _open_raster(Path(path), head, page) as image:
                header = PictureHeader(image.width, image.height, None)
    except (MemoryError, ImportError, Rejected):
        raise
    except Exception as error:  # decoders raise exceptions of any class
        kinds = "; of JPEG, the kinds with 8 bits are read" if head.startswith(JPEG) else ""
        raise Rejected(
            f"cannot be opened: the image is damaged, truncated or of an unknown format{kinds}; copy it again, or "
            "export it as TIFF with all its bits"
        ) from error
    _refuse_large(header.width, header.height)
    if header.scale or header.scale_fault.startswith(NOT_SQUARE):
        return header
    beside = read_sidecar_scale(Path(path), header.width)
    fault = header.scale_fault or sidecar_fault(Path(path), header.width)
    return header._replace(scale=beside, scale_fault="" if beside else fault)


def _read_head(path: Path) -> bytes:
    with Path(path).open("rb") as file:
        head = file.read(256)
    if not head:
        raise Rejected("cannot be opened: the file is empty (0 bytes)")
    return head


def _refuse_large(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise Rejected(
            f"image has {width} x {height} pixels, which is too large (more than {MOST_PIXELS // 10**6} million); save "
            "it at a lower resolution (8 nm per pixel are enough) or in parts, each as a row of its own"
        )


def _refuse_claim(page: tifffile.TiffPage, size: int) -> None:
    """Refuse a page that states far more pixels than its tiles or strips, or the file, can hold."""
    bytes_per_pixel = page.samplesperpixel * max(1, page.bitspersample // 8)
    if reason := claim_fault(page.imagewidth, page.imagelength, bytes_per_pixel, min(size, sum(page.databytecounts))):
        raise Rejected(reason)


def _refuse_absent(page: tifffile.TiffPage) -> None:
    """Refuse a page without the data of some of its tiles or strips, of which a reader makes black pixels."""
    parts = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if absent := sum(not (start and count) for start, count in parts):
        kind = "tiles" if page.is_tiled else "strips"
        raise Rejected(
            f"image cannot be decoded ({absent} of its {len(parts)} {kind} have no data); copy or export it again"
        )


def _only_grey(page: tifffile.TiffPage, pixels: np.ndarray) -> np.ndarray:
    """Drop the samples beside grey; refuse those that vary, such as pictures of further detectors.

    Parameters
    ----------
    page
        A page in grey, whose opacity was looked at.
    pixels
        [h, w, n] as decoded.
    """
    opacity = [number for number, kind in enumerate(map(int, page.extrasamples), 1) if kind in OPACITIES]
    others = [pixels[..., number] for number in range(1, pixels.shape[2]) if number not in opacity]
    if any(np.ptp(other) > 0 for other in others):
        raise Rejected(
            f"its pixels have {1 + len(others)} samples that are no colours, such as those of several detectors; save "
            "one of them"
        )
    return pixels[..., 0]


def _refuse_damaged_parts(page: tifffile.TiffPage) -> None:
    """Refuse a page in JPEG of which a tile or strip is damaged; decoders fill it with grey."""
    if page.compression != JPEG_IN_TIFF or page.bitspersample != EIGHT_BITS or page.samplesperpixel not in {1, 3}:
        return
    for data, _ in page.parent.filehandle.read_segments(page.dataoffsets, page.databytecounts):
        if isinstance(data, bytes) and is_damaged(data, page.jpegtables):
            raise Rejected(DAMAGED)


def _refuse_hidden_pages(tiff: tifffile.TiffFile, pages: Sequence[tifffile.TiffPage]) -> None:
    """Refuse a stack of ImageJ that lists its first picture alone, as it does beyond 4 GB."""
    stated = (tiff.imagej_metadata or {}).get("images", 1) if tiff.is_imagej else 1
    if isinstance(stated, int) and stated > len(pages) == 1:
        raise Rejected(
            f"it is a stack of {stated} pictures of ImageJ, of which it lists only the first; save each as a file, "
            "with a row of its own"
        )


def _refuse_turned(orientation: object) -> None:
    if orientation not in UPRIGHT:
        raise Rejected("its orientation tag rotates the image; save it upright")


def _tiff_header(path: Path, page: int | None) -> PictureHeader:
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        pages = _pages(tiff)
        _refuse_hidden_pages(tiff, pages)
        chosen = _choose_page(pages, page)
        scale, fault = read_tiff_scale(chosen, pages), ""
        if scale is None and (sides := unequal_sides(chosen)):
            fault = f"{NOT_SQUARE} ({sides}); resample it"
        elif scale and (other := other_width(chosen)):
            scale = None
            fault = f"the microscope's metadata in it are of a picture {other} pixels wide, not {chosen.imagewidth}"
        elif scale is None:
            stated = read_mpp(tiff, chosen)
            fault = "" if stated.generic else stated.fault
            if stated.mean is not None and not stated.generic:
                scale = MicroscopeScale(1000 * stated.mean, "OME" if tiff.is_ome else "ImageJ")
        _refuse_claim(chosen, tiff.filehandle.size)
        return PictureHeader(int(chosen.imagewidth), int(chosen.imagelength), scale, fault)


def _decode_tiff(path: Path, number: int | None) -> np.ndarray:
    import tifffile

    from nephroscale.slides.readers.colour_profile import is_other_ycbcr

    with tifffile.TiffFile(path) as tiff:
        pages = _pages(tiff)
        _refuse_hidden_pages(tiff, pages)
        page = _choose_page(pages, number)
        _refuse_large(page.imagewidth, page.imagelength)
        _refuse_claim(page, tiff.filehandle.size)
        _refuse_absent(page)
        _refuse_damaged_parts(page)
        _refuse_turned(page.tags.valueof(ORIENTATION, 1))
        ends = [start + count for start, count in zip(page.dataoffsets, page.databytecounts, strict=True)]
        if max(ends, default=0) > tiff.filehandle.size:  # a decoder of JPEG would fill the rest with grey
            raise Rejected("image cannot be decoded (the file is truncated); copy or export it again")
        photometric = tifffile.PHOTOMETRIC(page.photometric)
        if photometric.name in LAB:
            raise Rejected("image is in CIELab; save it in grey or RGB")
        bits, palette = page.bitspersample, photometric is tifffile.PHOTOMETRIC.PALETTE
        if 1 < bits < EIGHT_BITS and not palette:
            raise Rejected(f"its samples have {bits} bits, which are too few grey levels; save it in 8 or 16 bits")
        tolerate_padding(page)
        pixels = page.asarray()
        if page.axes.startswith("S") and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
        if {1, 2} & set(map(int, page.extrasamples)) and pixels.ndim == 3 and pixels.dtype.kind == "u":
            opacity = pixels[..., -1] / np.iinfo(pixels.dtype).max
            if (opacity < OPAQUE / 255).mean() > MOST_TRANSPARENT:
                raise Rejected(TRANSPARENT)
        if photometric.name in GREY and pixels.ndim == 3:
            pixels = _only_grey(page, pixels)
        if pixels.dtype == bool:
            pixels = pixels.astype(np.uint8) * 255
        if palette and page.colormap is not None:
            table = page.colormap  # of 16 bits, though some programs write 8
            return np.moveaxis((table if table.max() > 255 else table * np.uint16(257))[:, pixels], 0, -1)
        if photometric is tifffile.PHOTOMETRIC.SEPARATED:
            return _from_cmyk(pixels)
        if photometric is tifffile.PHOTOMETRIC.MINISWHITE:
            return _inverted(pixels)
        if photometric is tifffile.PHOTOMETRIC.YCBCR and page.compression not in _JPEGS:
            if is_other_ycbcr(page):
                raise Rejected("image is in YCbCr of an uncommon layout; save it in grey or RGB")
            return _from_ycbcr(pixels)
    return pixels


_JPEGS = (6, 7, 33003, 33005, 34712)
"""Compressions whose decoders give RGB."""


def _pages(tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """All pages, with those that hang below others."""
    tops = (page.aspage() for page in tiff.pages)
    return [page for top in tops for page in (top, *(sub.aspage() for sub in top.pages or ()))]


def _choose_page(pages: Sequence[tifffile.TiffPage], number: int | None) -> tifffile.TiffPage:
    """The page with the picture: the one named; else the largest one, and among equal ones that with most bits."""
    if number is not None:
        if number > len(pages):
            raise Rejected(f"it has no page #{number}, but {len(pages)}")
        pages = [pages[number - 1]]
    pictures = [page for page in pages if page.ndim in {2, 3} and page.dtype is not None]
    if not pictures:
        raise Rejected("the TIFF has no image")
    if any(page.imagedepth > 1 for page in pictures):
        raise Rejected("it holds a volume; save its sections as pages, and name one in the column path, as a.tif#2")
    largest = max(page.imagelength * page.imagewidth for page in pictures)
    full = [page for page in pictures if page.imagelength * page.imagewidth == largest]
    bits = max(_bits(page) for page in full)
    best = [page for page in full if _bits(page) == bits]
    if best[0].subfiletype & REDUCED and any(not page.subfiletype & REDUCED for page in pictures):
        raise Rejected(LARGEST_IS_COPY)
    if len(best) > 1:
        raise Rejected(f"it has {len(best)} pages of one size and type; name one in the column path, as a.tif#2")
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


def _open_raster(path: Path, head: bytes, page: int | None) -> Image.Image:
    from PIL import Image

    if fault := foreign_fault(head, "export it as TIFF with all its bits"):
        raise Rejected(fault)
    if page is not None and page > 1:
        raise Rejected(f"it has no page #{page}, but one picture")
    Image.MAX_IMAGE_PIXELS = None  # the limit is ours
    image = Image.open(path, formats=RASTERS)
    try:
        _refuse_large(image.width, image.height)
        if image.format == "PNG" and getattr(image, "n_frames", 1) > 1:
            raise Rejected("it is an animated PNG, which is not read; save one picture of it")
        if reason := claim_fault(image.width, image.height, least_bytes(image.mode), path.stat().st_size):
            raise Rejected(reason)
    except Rejected:
        image.close()
        raise
    return image


def _transparent_share(image: Image.Image) -> float:
    """Share of the pixels that an alpha channel, or the colour named as transparent, makes transparent."""
    named = image.info.get("transparency")
    if image.mode in {"RGBA", "LA", "PA"}:
        seen = np.asarray(image.getchannel("A")) < OPAQUE
    elif named is None:
        return 0.0
    elif image.mode.startswith("I"):
        seen = np.asarray(image) == named
    else:
        seen = np.asarray(image.convert("RGBA").getchannel("A")) < OPAQUE
    return float(seen.mean())


def _decode_raster(path: Path, head: bytes, page: int | None) -> np.ndarray:
    with _open_raster(path, head, page) as opened:
        if opened.format == "JPEG" and opened.mode in {"L", "RGB"}:
            _refuse_turned(opened.getexif().get(ORIENTATION, 1))
            pixels = decode_whole(path)
            if pixels is None or pixels.shape[1::-1] != opened.size:
                raise Rejected(DAMAGED)
            return pixels
        opened.load()  # raises if the file is truncated; OpenCV would fill it with grey
        _refuse_turned(opened.getexif().get(ORIENTATION, 1))  # in a PNG it follows the pixels
        image: Image.Image = opened
        if _transparent_share(image) > MOST_TRANSPARENT:
            raise Rejected(TRANSPARENT)
        if image.format == "PNG" and (deep := decode_deep(path)) is not None:  # of such, Pillow keeps 8 bits
            return deep[..., 0] if deep.shape[2] == TWO_CHANNELS else deep[..., :3]
        if image.mode == "CMYK" and "adobe" not in image.info:
            raise Rejected(
                "its colours are inks (CMYK), and it does not state which value is full ink; save it in grey"
            )
        if image.mode in {"1", "P", "PA", "CMYK", "YCbCr", "RGBA", "LA"}:
            image = image.convert("L" if image.mode in {"1", "LA"} else "RGB")
        pixels = np.asarray(image)
        if opened.format == "JPEG" and (is_damaged(path.read_bytes()) or ends_early(path, pixels)):
            raise Rejected(DAMAGED)
        return pixels
