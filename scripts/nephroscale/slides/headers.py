"""What the header of a raw image states; no pixel is read, so that a whole cohort is looked through in seconds."""

from __future__ import annotations

import logging
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image, UnidentifiedImageError

from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.slides.facts import MIN_PX, ImageFacts, with_scale
from nephroscale.slides.raw import list_files
from nephroscale.slides.readers.registry import FAST, candidate_readers, open_slide

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nephroscale.cohort.image import ImageRow

# Headers lie on network file systems, where reading is waiting.
THREADS = 16


class Header(NamedTuple):
    """Size in pixels, and scale in µm per pixel as stated in a file (see :class:`.readers.base.SlideReader`)."""

    width: int
    height: int
    mpp: float | None = None
    mpp_is_generic: bool = False


def read_header(path: Path) -> Header:
    """Read the header of a raw image.

    Parameters
    ----------
    path
        A file, or a folder of DICOM files.

    Raises
    ------
    Rejected
        When the file is empty, foreign or damaged, as far as the header shows it.
    """
    if path.is_dir():
        path = list_files(path)[0][1]
    readers = [name for name in candidate_readers(path) if name != FAST]
    if readers == ["image_reader"]:  # it would decode the whole image
        try:
            with Image.open(path, formats=("PNG", "JPEG", "BMP")) as image:
                return Header(image.width, image.height)
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError) as fault:
            raise Rejected("cannot be opened: the image cannot be opened") from fault
    for reader in readers:
        try:
            with open_slide(path, reader) as slide:
                return Header(slide.width, slide.height, slide.mpp, slide.mpp_is_generic)
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
        header = read_header(path)
        if min(header.width, header.height) < MIN_PX:
            raise Rejected(f"the image has only {header.width} x {header.height} pixels")
        facts = ImageFacts(width=header.width, height=header.height)
        return with_scale(facts, header.mpp, row, generic=header.mpp_is_generic)
    except Rejected as verdict:
        return ImageFacts.rejected(verdict.reason)
    except NephroscaleError as fault:
        return ImageFacts.rejected(f"cannot be opened: {fault.what}")
    except OSError as fault:
        return ImageFacts.rejected(f"cannot be opened: {fault.strerror}")


def describe_headers(images: Mapping[str, tuple[Path, ImageRow]]) -> dict[str, ImageFacts]:
    """Determine the same of many images in parallel, by image id."""
    logger = logging.getLogger("tifffile")  # it logs what is raised too
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(), ThreadPoolExecutor(THREADS) as pool:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            described = pool.map(lambda image: describe_header(*image), images.values())
            return dict(zip(images, described, strict=True))
    finally:
        logger.setLevel(level)
