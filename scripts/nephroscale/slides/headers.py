"""What the header of a raw image states; no pixel is read, so that a whole cohort is looked through in seconds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from nephroscale.cohort.image import ImageRow
from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.slides.facts import MIN_PX, ImageFacts, with_scale
from nephroscale.slides.raw import list_files
from nephroscale.slides.readers.base import UnreadableSlide
from nephroscale.slides.readers.image_reader import open_picture, stated_resolution
from nephroscale.slides.readers.registry import FAST, candidate_readers, open_slide
from nephroscale.slides.samples import read_picture_header
from nephroscale.slides.scale_bar import can_read_bars

T = TypeVar("T")
U = TypeVar("U")
# Headers lie on network file systems, where reading is waiting.
THREADS = 16


class Header(NamedTuple):
    """What a file states (see :class:`.readers.base.SlideReader`): its kind, size in pixels, scale in µm per pixel."""

    vendor: str
    width: int
    height: int
    mpp: float | None = None
    mpp_is_generic: bool = False
    scale_fault: str = ""


def read_header(path: Path, modality: str = "", page: int | None = None) -> Header:
    """Read the header of a raw image.

    Parameters
    ----------
    path
        A file, or a folder of DICOM files.
    modality
        Of the image, where it is known.
    page
        Page of an electron micrograph, or picture of a TIFF (from 1), where the table names one.

    Raises
    ------
    Rejected
        When the file is empty, foreign or damaged, as far as the header shows it.
    """
    if not path.is_file():
        path = list_files(path)[0][1]
    if modality == "TEM":
        width, height, scale, fault = read_picture_header(path, page)
        if scale is None:
            return Header("micrograph", width, height, scale_fault=fault)
        return Header(scale.source, width, height, scale.nm_per_px / 1000)
    readers = [name for name in candidate_readers(path, page) if name != FAST]
    if readers == ["image_reader"]:  # it would decode the whole image
        try:
            with open_picture(path) as image:
                return Header("picture", image.width, image.height, *stated_resolution(image)[:3])
        except UnreadableSlide as fault:
            raise Rejected(f"cannot be opened: {fault}") from fault
    for reader in readers:
        try:
            with open_slide(path, reader, page) as slide:
                stated = slide.mpp, slide.mpp_is_generic, slide.scale_fault
                return Header(slide.vendor, slide.width, slide.height, *stated)
        except Rejected:
            if reader == readers[-1]:
                raise
    raise AssertionError("no reader")


def describe_header(path: Path, row: ImageRow) -> ImageFacts:
    """Determine size and scale of a raw image from its header and its row; a rejected image has its reason.

    Parameters
    ----------
    path
        As for :func:`read_header`.
    row
        Table row of the image.
    """
    try:
        header = read_header(path, row.modality, row.page)
        if min(header.width, header.height) < MIN_PX:
            raise Rejected(f"the image has only {header.width} x {header.height} pixels")
        return with_scale(
            ImageFacts(width=header.width, height=header.height),
            header.mpp,
            row,
            generic=header.mpp_is_generic,
            fault=header.scale_fault,
            bar_unread=can_read_bars() and (row.modality == "TEM" or header.vendor == "picture"),
        )
    except Rejected as verdict:
        return ImageFacts.rejected(verdict.reason)
    except NephroscaleError as fault:
        return ImageFacts.rejected(f"cannot be opened: {fault.what}")
    except OSError as fault:
        return ImageFacts.rejected(f"cannot be opened: {fault.strerror}")


def describe_headers(images: Mapping[str, tuple[Path, ImageRow]]) -> dict[str, ImageFacts]:
    """Determine the same of many images in parallel, by image id."""
    return dict(zip(images, read_in_parallel(lambda image: describe_header(*image), images.values()), strict=True))


def read_in_parallel(read: Callable[[T], U], files: Iterable[T]) -> list[U]:
    """Apply a function that reads a header to many files at once, in silence; the order is that of `files`."""
    logger = logging.getLogger("tifffile")  # it logs what is raised too
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(read, files))
    finally:
        logger.setLevel(level)
