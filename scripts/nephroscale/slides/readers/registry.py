"""Which reader takes a file: names of modules, so that only the chosen one is imported."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from nephroscale.errors import NephroscaleError, Rejected

if TYPE_CHECKING:
    from nephroscale.slides.readers.base import SlideReader

READERS = {
    "image_reader": "nephroscale.slides.readers.image_reader",
    "jpeg_tiff_reader": "nephroscale.slides.readers.jpeg_tiff_reader",
    "openslide_reader": "nephroscale.slides.readers.openslide_reader",
    "tifffile_reader": "nephroscale.slides.readers.tifffile_reader",
}
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM")
ORIENTATION = 274


def open_slide(path: Path, reader: str) -> SlideReader:
    """Open a raw image with a named reader.

    Parameters
    ----------
    path
        The file that the format opens by (as :func:`nephroscale.slides.raw.link_raw` returns it).
    reader
        Key of `READERS`, as `choose_reader` found it.

    Raises
    ------
    Rejected
        When the file cannot be opened.
    NephroscaleError
        When there is no reader of that name.
    """
    from nephroscale.slides.readers.base import UnreadableSlide  # numpy with it: the plan asks for names alone

    if reader not in READERS:
        raise NephroscaleError(f"There is no reader {reader!r}.", todo=f"Choose one of {', '.join(sorted(READERS))}.")
    try:
        return importlib.import_module(READERS[reader]).Reader(Path(path))
    except UnreadableSlide as fault:
        raise Rejected(f"cannot be opened: {_without(path, fault)}") from fault


def choose_reader(path: Path) -> str:
    """Find the reader for a raw image, by what it holds and never by its name alone.

    OpenSlide reads what it detects, but not TIFF of more than 8 bits or of several grey channels, which it would cut
    down; the fast path takes its place where sample tiles come out equal.

    Parameters
    ----------
    path
        The file that the format opens by.

    Returns
    -------
    str
        Key of `READERS`.

    Raises
    ------
    Rejected
        When no reader opens it.
    """
    path = Path(path)
    with path.open("rb") as file:
        magic = file.read(8)
    if magic.startswith(PICTURES):
        return _opened(path, ["image_reader"])
    vendor = _vendor(path)
    if not magic.startswith(TIFF):
        if vendor is None:
            raise Rejected("cannot be opened: it is in no image format known here")
        return _opened(path, ["openslide_reader"])
    plain = _check_tiff(path)
    if vendor is None or (vendor == "generic-tiff" and not plain):
        return _opened(path, ["tifffile_reader"])
    fast = importlib.import_module(READERS["jpeg_tiff_reader"])
    if vendor in fast.VENDORS and fast.agrees_with_openslide(path):
        return "jpeg_tiff_reader"
    return _opened(path, ["openslide_reader", "tifffile_reader"] if vendor == "generic-tiff" else ["openslide_reader"])


def _vendor(path: Path) -> str | None:
    import openslide

    return openslide.OpenSlide.detect_format(path)


def _check_tiff(path: Path) -> bool:
    """Whether the first page is 8-bit RGB; a picture that its orientation tag turns is rejected."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            orientation = page.tags.valueof(ORIENTATION, 1)
            plain = (
                page.dtype == "uint8"
                and page.samplesperpixel >= 3
                and not (tiff.is_ome and len(tiff.series[0].shape) > 3)
            )
    except Exception as fault:  # tifffile raises what it likes
        raise Rejected("cannot be opened: the TIFF is damaged or cut short") from fault
    if orientation != 1:
        raise Rejected(f"its orientation tag is {orientation}: tiles of such a TIFF are read mirrored; save it upright")
    return plain


def _opened(path: Path, readers: list[str]) -> str:
    """Name the first of the readers that opens the file."""
    reasons = []
    for reader in readers:
        try:
            with open_slide(path, reader):
                return reader
        except Rejected as rejected:
            reasons.append(rejected.reason)
    raise Rejected(reasons[0])


def _without(path: Path, fault: Exception) -> str:
    """Give a fault's text without the path in it."""
    return str(fault).replace(str(path), "the file").replace(Path(path).name, "the file")
