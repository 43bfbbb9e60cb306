"""Choose the reader of a file by its content; only the chosen module is imported."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING

from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.slides.foreign_formats import foreign_fault
from nephroscale.slides.readers.claims import claim_fault

if TYPE_CHECKING:
    from tifffile import TiffPage

    from nephroscale.slides.readers.base import SlideReader
    from nephroscale.slides.readers.stated_mpp import Stretch

READERS = {
    "czi_reader": "nephroscale.slides.readers.czi_reader",
    "image_reader": "nephroscale.slides.readers.image_reader",
    "jpeg_tiff_reader": "nephroscale.slides.readers.jpeg_tiff_reader",
    "lif_reader": "nephroscale.slides.readers.lif_reader",
    "nd2_reader": "nephroscale.slides.readers.nd2_reader",
    "oib_reader": "nephroscale.slides.readers.oib_reader",
    "oif_reader": "nephroscale.slides.readers.oif_reader",
    "openslide_reader": "nephroscale.slides.readers.openslide_reader",
    "samples_reader": "nephroscale.slides.readers.samples_reader",
    "tifffile_reader": "nephroscale.slides.readers.tifffile_reader",
}
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image_reader",
    b"\xff\xd8\xff": "image_reader",
    b"BM": "image_reader",
    b"p\0\0\0": "lif_reader",
    b"ZISRAWFI": "czi_reader",
    b"\xda\xce\xbe\n": "nd2_reader",
    b"\xd0\xcf\x11\xe0": "oib_reader",
    b"\xff\xfe[\0": "oif_reader",
}
"""First bytes of a file (8 at most) to the one reader of its format."""
EXTRA = {
    "czi_reader": ("czifile", "a CZI file of Zeiss"),
    "lif_reader": ("liffile", "a LIF file of Leica"),
    "nd2_reader": ("nd2", "an ND2 file of Nikon"),
    "oib_reader": ("olefile", "an OIB file of Olympus (or another compound file)"),
}
"""Readers whose package is in the extra `im-formats`: the package, and the name of the format."""
FOREIGN = {
    b"\0\0\0\x0cjP  ": "a JPEG 2000 file (or an old ND2 file of Nikon)",
    b"\xff\x4f\xff\x51": "a codestream of JPEG 2000",
    b"\x89HDF\r\n": "an HDF5 file (such as IMS of Imaris)",
}
"""First bytes of the files of microscopes' programs that are not read."""
HTJ2K = re.compile(rb"\0\0\0\x0cjP  .{12}jph |\xff\x4f\xff\x51.{38}(.{3}){1,4}\xff\x50", re.DOTALL)
"""Beginning of a file or codestream of JPEG 2000, part 15: its brand, or the marker CAP after the marker SIZ."""
HAMAMATSU, NDPI_TAGS = "hamamatsu", (65420, 65421, 65424)
"""A vendor of OpenSlide, which goes by the first of these tags alone, and fails where the others are absent."""
MAKE = 271
VSI = b"\x18\0IS"
"""Beginning of Olympus's list of properties after the first bytes of a VSI: its length, and its version (21321)."""
COMPOUND = b"\xd0\xcf\x11\xe0"
ORIENTATION = 274
SEPARATE = 2
UNSPECIFIED = 0
JPEG, RGB, YCBCR, REDUCED = 7, 2, 6, 1
"""A compression, two photometric interpretations, and a kind of page."""
EXPANDING = (1, 5, 7, 8, 32773, 32946)
"""Compressions of TIFF whose ratio has a limit (:data:`.claims.MOST_EXPANSION`): none, LZW, JPEG, deflate, PackBits."""
OPENED = "cannot be opened: "
UNKNOWN = "cannot be opened: its image format is unknown; export it as OME-TIFF with its scale"
MOST_SEGMENT_BYTES = 2**28
MICROGRAPH = "samples_reader"
PAGED = (MICROGRAPH, "tifffile_reader", "oif_reader", *EXTRA)
"""The readers of files with several pictures."""
FAST = "jpeg_tiff_reader"
"""The reader that replaces OpenSlide where sample tiles are equal."""


def open_slide(
    path: Path, reader: str | None = None, page: int | None = None, stretch: Stretch | None = None
) -> SlideReader:
    """Open a raw image.

    Parameters
    ----------
    path
        File that the format is opened by (see :func:`nephroscale.slides.raw.link_raw`).
    reader
        Key of `READERS`; by default it is chosen by the content of the file (:func:`choose_reader`).
    page
        Picture of a file of several, or page of an electron micrograph (from 1).
    stretch
        Square pixels per pixel of the file along x and y, where its pixels are not square.

    Raises
    ------
    Rejected
        When the file cannot be opened.
    NephroscaleError
        When the reader is unknown.

    Examples
    --------
    >>> with open_slide(Path("CMU-1.svs")) as slide:  # doctest: +SKIP
    ...     pixels, valid = slide.read_level(0, x=1000, y=2000, width=512, height=512)
    """
    from nephroscale.slides.readers.base import UnreadableSlide  # imports numpy, which callers of READERS do not need

    reader = choose_reader(path) if reader is None else reader
    if reader not in READERS:
        raise NephroscaleError(f"The reader {reader!r} is unknown.", fix=f"Choose one of {', '.join(sorted(READERS))}.")
    try:
        more = {} if page is None or reader not in PAGED else {"page": page}
        slide: SlideReader = importlib.import_module(READERS[reader]).Reader(Path(path), **more)
    except UnreadableSlide as fault:
        raise Rejected(f"{OPENED}{_without_path(path, fault).removeprefix(OPENED)}") from fault
    if stretch is None:
        return slide
    from nephroscale.slides.readers.square_pixels import SquarePixels

    return SquarePixels(slide, stretch)


def choose_reader(path: Path, page: int | None = None) -> str:
    """Choose the reader of a slide or a photograph by its content, never by its name only.

    OpenSlide reads the formats that it detects, except TIFF of more than 8 bits or of several grey channels, which it
    would reduce, and plain TIFF without JPEG, whose damaged tiles it would fill. The fast reader replaces it if sample
    tiles are equal.

    Parameters
    ----------
    path
        File that the format is opened by. An electron micrograph always has the reader `MICROGRAPH`.
    page
        Picture of a file of several (from 1), where the table names one.

    Returns
    -------
    str
        Key of `READERS`.

    Raises
    ------
    Rejected
        When no reader can open it.
    """
    readers = candidate_readers(path, page)
    if readers[0] == FAST:
        if importlib.import_module(READERS[FAST]).agrees_with_openslide(Path(path)):
            return FAST
        readers = readers[1:]
    return _opened(Path(path), readers, page)


def candidate_readers(path: Path, page: int | None = None) -> list[str]:
    """List the readers that may take a file, by its first bytes and its header alone, the preferred one first.

    Raises
    ------
    Rejected
        When the file is empty, its format is not read, or it has one picture only and another is named.
    """
    path = Path(path)
    with path.open("rb") as file:
        head = file.read(256)
    magic = head[:8]
    if not magic:
        raise Rejected("cannot be opened: the file is empty (0 bytes)")
    if name := _foreign(path, head):
        raise Rejected(f"it is {name}, which is not read; export the picture as OME-TIFF with all its bits")
    if page is not None and magic.startswith(TIFF):
        _check_tiff(path)
        return ["tifffile_reader"]
    reader = next((reader for start, reader in SIGNATURES.items() if magic.startswith(start)), None)
    if reader in PAGED:
        _check_extra(reader)
        return [reader]
    if page is not None and page > 1:
        raise Rejected(f"it has no picture #{page}, but one")
    if reader is not None:
        return [reader]
    import openslide

    vendor = openslide.OpenSlide.detect_format(path)
    if not magic.startswith(TIFF):
        if vendor is None:
            fault = foreign_fault(head, "save the picture as TIFF or PNG")
            raise Rejected(fault or UNKNOWN)
        return ["openslide_reader"]
    plain = _check_tiff(path)
    if vendor == HAMAMATSU and not _is_ndpi(path):
        vendor = None
    if vendor is None or (vendor == "generic-tiff" and not plain):
        return ["tifffile_reader"]
    readers = [FAST] if vendor in importlib.import_module(READERS[FAST]).VENDORS else []
    return [*readers, "openslide_reader", *(["tifffile_reader"] if vendor == "generic-tiff" else [])]


def _is_ndpi(path: Path) -> bool:
    """Whether a TIFF with a private tag of NDPI is one: it has the others, or the maker's name."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        tags = tiff.pages.first.tags
        return all(tag in tags for tag in NDPI_TAGS) or "hamamatsu" in str(tags.valueof(MAKE, "")).casefold()


def _foreign(path: Path, head: bytes) -> str | None:
    """Name the format of a microscope's program, if it is one of those that are not read."""
    if head.startswith(TIFF) and (path.suffix.lower() == ".vsi" or head[8:].startswith(VSI)):
        return "a VSI file of Olympus, whose TIFF holds previews alone"
    if head.startswith(COMPOUND) and path.suffix.lower() == ".zvi":
        return "a ZVI file of Zeiss"
    name = next((name for start, name in FOREIGN.items() if head.startswith(start)), None)
    return "an HTJ2K file (JPEG 2000, part 15)" if name and HTJ2K.match(head) else name


def _check_extra(reader: str) -> None:
    """Refuse a file whose reader needs a package that is not installed."""
    package, name = EXTRA.get(reader, ("", ""))
    if package and importlib.util.find_spec(package) is None:
        raise Rejected(
            f"it is {name}, which is read only with the extra `im-formats` (see README); or export the picture as "
            "OME-TIFF with all its bits"
        )


def _check_tiff(path: Path) -> bool:
    """Whether OpenSlide can read the first page, JPEG in RGB and larger than all others; rotated ones are rejected."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            orientation = page.tags.valueof(ORIENTATION, 1)
            whole = [tiff.pages.get(number).aspage() for number in range(len(tiff.pages))]
            for each in whole:
                _check_segments(each)
                _check_parts(each)
            lab = "LAB" in tifffile.PHOTOMETRIC(page.photometric).name
            area = page.imagelength * page.imagewidth
            largest = max(each.imagelength * each.imagewidth for each in whole)
            for each in whole:
                if each.imagelength * each.imagewidth == largest:
                    _check_decoder(each)
                    _check_colours(each)
            plain = (
                page.dtype == "uint8"
                and page.compression == JPEG  # of others, OpenSlide fills damaged tiles, and it is slower
                and not lab
                and [other.imagelength * other.imagewidth >= area for other in whole].count(True) == 1
                and page.samplesperpixel >= 3
                and UNSPECIFIED not in map(int, page.extrasamples)
                and not (tiff.is_ome and len(tiff.series[0].shape) > 3)
            )
    except Rejected:
        raise
    except Exception as fault:  # tifffile raises exceptions of any class
        raise Rejected("cannot be opened: the TIFF is damaged or truncated") from fault
    if orientation not in {0, 1}:  # 0 is not defined, and written all the same
        raise Rejected(f"its orientation tag is {orientation}, with which tiles are read mirrored; save it upright")
    return plain


def _check_segments(page: TiffPage) -> None:
    """Refuse a page that needs more tiles or strips than its index has, or tiles or strips too large to be decoded."""
    strip = min(page.rowsperstrip, page.imagelength)
    high, wide = (page.tilelength, page.tilewidth) if page.is_tiled else (strip, page.imagewidth)
    planes = page.samplesperpixel if page.planarconfig == SEPARATE else 1
    count = -(-page.imagelength // high) * -(-page.imagewidth // wide) * planes
    if len(page.dataoffsets) < count:
        raise Rejected("cannot be opened: the TIFF is damaged: it has fewer tiles or strips than its size needs")
    if high * wide * page.samplesperpixel // planes * max(1, page.bitspersample // 8) > MOST_SEGMENT_BYTES:
        raise Rejected(
            "cannot be opened: it is too large for one tile or strip, which is decoded as a whole; save it in smaller "
            "ones, for instance with `vips tiffsave IN OUT --tile --pyramid --compression deflate`"
        )


def _check_parts(page: TiffPage) -> None:
    """Refuse a page below which a larger one hangs: the page is then a preview."""
    for part in page.pages or ():
        below = part.aspage()
        if below.imagelength * below.imagewidth > page.imagelength * page.imagewidth:
            raise Rejected(
                f"its first page is a preview ({page.imagewidth} x {page.imagelength} pixels) of a picture below it "
                f"({below.imagewidth} x {below.imagelength}, a SubIFD), which is not read; save the picture as a page"
            )


def _check_decoder(page: TiffPage) -> None:
    """Refuse a page whose compression has no decoder, or that states more pixels than its bytes can hold."""
    import tifffile

    kind = page.compression
    try:
        tifffile.TIFF.DECOMPRESSORS[kind]
    except KeyError as fault:
        name = getattr(kind, "name", "")
        raise Rejected(
            f"its compression ({f'{name}, ' if name else ''}number {int(kind)}) is not read; save it with deflate, LZW "
            "or JPEG"
        ) from fault
    if kind not in EXPANDING or not page.dataoffsets:
        return
    present = [count for count in page.databytecounts if count]
    rows = max(1, round(page.imagelength * len(present) / len(page.dataoffsets)))
    bytes_per_pixel = page.samplesperpixel * max(1, page.bitspersample // 8)
    if claim_fault(page.imagewidth, rows, bytes_per_pixel, sum(present)):
        raise Rejected(claim_fault(page.imagewidth, page.imagelength, bytes_per_pixel, sum(present)))


def _check_colours(page: TiffPage) -> None:
    """Refuse JPEG tiles or strips that say other colours than their header: libtiff, and so OpenSlide, believes it."""
    from nephroscale.slides.readers.dicom_colours import HEAD, stated_colours

    header = {YCBCR: "YCbCr", RGB: "RGB"}.get(int(page.photometric))
    start = next((begin for begin, length in zip(page.dataoffsets, page.databytecounts, strict=False) if length), None)
    if page.compression != JPEG or header is None or start is None:
        return
    page.parent.filehandle.seek(start)
    if (found := stated_colours(page.parent.filehandle.read(HEAD))) not in {"", header}:
        raise Rejected(f"its header states the colours {header}, but its JPEG tiles are {found}; save it again")


def count_other_pages(path: Path) -> int:
    """Count the pages of a TIFF beside the largest that may be pictures, not reduced copies; 0 for other formats."""
    import tifffile

    with path.open("rb") as file:
        if not file.read(4).startswith(TIFF):
            return 0
    with tifffile.TiffFile(path) as tiff:
        whole = [tiff.pages.get(number).aspage() for number in range(len(tiff.pages))]
        return sum(not page.subfiletype & REDUCED for page in whole) - 1


def _opened(path: Path, readers: list[str], page: int | None) -> str:
    """Choose the first of the readers that can open the file."""
    reasons = []
    for reader in readers:
        try:
            with open_slide(path, reader, page):
                return reader
        except Rejected as rejected:
            reasons.append(rejected.reason)
    raise Rejected(reasons[0])


def _without_path(path: Path, fault: Exception) -> str:
    """Give the text of an error without the path in it."""
    text = str(fault).replace(str(path), "the file").replace(Path(path).name, "the file")
    return text.replace(f"{Path(path).parent}/", "")
