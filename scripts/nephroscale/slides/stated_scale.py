"""The scale that a file states in its header, read without its pixels."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.slides.facts import PLAUSIBLE_GENERIC_UM, PLAUSIBLE_NM, PLAUSIBLE_UM
from nephroscale.slides.raw import list_files
from nephroscale.slides.readers.registry import SIGNATURES, open_slide

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Headers that are read at once: most of the time goes into waiting for the disk.
READERS = 8


@dataclass(frozen=True)
class StatedScale:
    """What the header of a file states.

    Parameters
    ----------
    mpp
        µm per pixel, plausible or not; None where the file states none, or cannot be opened.
    source
        Manufacturer of the scanner or format, with ``resolution tag`` where the scale is in a generic tag.
    generic
        Whether the scale is in a generic tag, which printers and desktop scanners write too.
    fault
        Why the file cannot be opened; None where it can.
    """

    mpp: float | None = None
    source: str = ""
    generic: bool = False
    fault: str | None = None

    def believed(self, modality: str) -> float | None:
        """The scale as the tables give it, where it is plausible.

        Parameters
        ----------
        modality
            ``OM`` or ``IM`` (µm per pixel), or ``TEM`` (nm per pixel; a generic tag is never believed).
        """
        if self.mpp is None or (modality == "TEM" and self.generic):
            return None
        value = self.mpp * 1000 if modality == "TEM" else self.mpp
        low, high = PLAUSIBLE_NM if modality == "TEM" else PLAUSIBLE_GENERIC_UM if self.generic else PLAUSIBLE_UM
        return value if low <= value <= high else None


def read_stated_scale(path: Path) -> StatedScale:
    """Read what the header of a raw image states.

    Parameters
    ----------
    path
        A file, or the folder of a DICOM series.
    """
    try:
        opened = path if path.is_file() else list_files(path)[0][1]
        with opened.open("rb") as file:
            magic = file.read(8)
        if not magic:
            return StatedScale(fault="the file is empty")
        if any(magic.startswith(signature) for signature in SIGNATURES):
            return StatedScale(source="picture")  # PNG, JPEG and BMP state only the size of a print
        with open_slide(opened) as slide:
            source = f"{slide.vendor}, resolution tag" if slide.mpp_is_generic else slide.vendor
            return StatedScale(slide.mpp, source, slide.mpp_is_generic)
    except Rejected as rejected:
        return StatedScale(fault=rejected.reason)
    except (NephroscaleError, OSError) as fault:
        return StatedScale(fault=getattr(fault, "what", None) or getattr(fault, "strerror", None) or str(fault))


def read_stated_scales(paths: Sequence[Path]) -> list[StatedScale]:
    """Read the headers of many files, several at once; the order is that of `paths`."""
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(read_stated_scale, paths))
