"""The scale that a file states in its header, read without its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.slides.facts import PLAUSIBLE_NM, PLAUSIBLE_UM
from nephroscale.slides.headers import read_header, read_in_parallel
from nephroscale.slides.readers.stated_mpp import PLAUSIBLE_GENERIC_UM


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


def read_stated_scale(path: Path, modality: str = "", page: int | None = None) -> StatedScale:
    """Read what the header of a raw image states.

    Parameters
    ----------
    path
        A file, or the folder of a DICOM series.
    modality, page
        Of the image, where they are known.
    """
    try:
        header = read_header(path, modality, page)
        source = f"{header.vendor}, resolution tag" if header.mpp_is_generic else header.vendor
        return StatedScale(header.mpp, source, header.mpp_is_generic)
    except Rejected as rejected:
        return StatedScale(fault=rejected.reason)
    except (NephroscaleError, OSError) as fault:
        return StatedScale(fault=getattr(fault, "what", None) or getattr(fault, "strerror", None) or str(fault))


def read_stated_scales(files: Sequence[tuple[Path, str, int | None]]) -> list[StatedScale]:
    """Read the headers of many files, each with modality and page, several at once; the order is that of `files`."""
    return read_in_parallel(lambda file: read_stated_scale(*file), files)
