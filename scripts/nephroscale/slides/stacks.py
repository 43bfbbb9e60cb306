"""Pictures, or stacks of them, in formats of electron microscopes: MRC, and those of an optional extra."""

from __future__ import annotations

import importlib.util
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nephroscale.errors import Rejected
from nephroscale.slides.microscope_scale import NM, SQUARE, UNLIKE, MicroscopeScale, is_scale
from nephroscale.slides.readers.stated_mpp import NOT_SQUARE

STACKS = (
    (0, b"\0\0\0\3", "DM3"),
    (0, b"\0\0\0\4", "DM4"),
    (0, b"\x89HDF\r\n\x1a\n", "EMD"),
    (0, b"II\x97\1", "SER"),
    (208, b"MAP ", "MRC"),
)
"""Place and first bytes of each format, and its name."""

LONG_NAMES = {
    "DM3": "a DM3 file of Gatan DigitalMicrograph",
    "DM4": "a DM4 file of Gatan DigitalMicrograph",
    "EMD": "an HDF5 file (EMD, or another)",
    "SER": "a SER file of TIA",
}


MRC_BYTES = {0: 1, 1: 2, 2: 4, 6: 2, 12: 2}
"""Bytes of a pixel by the mode of an MRC file."""


class Stack(NamedTuple):
    """An open file with planes of one size.

    Attributes
    ----------
    kind
        Its format, of `STACKS`.
    planes
        Its pictures, [h, w] each.
    scale
        The scale in its header.
    scale_fault
        Why that cannot be used; empty otherwise.
    """

    kind: str
    planes: Sequence[np.ndarray]
    scale: MicroscopeScale | None
    scale_fault: str = ""

    @property
    def width(self) -> int:
        """Width of a picture, pixels."""
        return int(self.planes[0].shape[1])

    @property
    def height(self) -> int:
        """Height of a picture, pixels."""
        return int(self.planes[0].shape[0])

    def read(self, plane: int) -> np.ndarray:
        """Read a plane (from 0) as [h, w]."""
        return np.array(self.planes[plane])


def kind_of_stack(path: Path, head: bytes) -> str | None:
    """Name the format of a file by its first 256 bytes; None where it is none of `STACKS`."""
    found = next((kind for place, magic, kind in STACKS if head[place:].startswith(magic)), None)
    return "MRC" if found is None and _is_old_mrc(path, head) else found


def _is_old_mrc(path: Path, head: bytes) -> bool:
    """Whether a file without the stamp of MRC2014 has the length that its header as an MRC file asks for."""
    if len(head) < 256:
        return False
    columns, rows, sections, mode = struct.unpack("<4i", head[:16])
    (extended,) = struct.unpack("<i", head[92:96])
    if min(columns, rows, sections) < 1 or extended < 0 or mode not in MRC_BYTES:
        return False
    length: int = 1024 + extended + columns * rows * sections * MRC_BYTES[mode]
    return path.stat().st_size == length


@contextmanager
def open_stack(path: Path, kind: str) -> Iterator[Stack]:
    """Open a file of one of the formats of `STACKS`.

    Raises
    ------
    Rejected
        When its packages are not installed.
    """
    if kind == "MRC":
        import mrcfile

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # headers that bend the standard
            opened = mrcfile.mmap(path, permissive=True)
        with opened as file:
            if file.data is None:
                raise Rejected(
                    "image cannot be decoded (the MRC file is damaged or truncated); copy or export it again"
                )
            scale, fault = _mrc_scale(float(file.voxel_size.x), float(file.voxel_size.y))
            if file.data.ndim not in {2, 3} or file.data.dtype.kind not in "iuf":
                raise Rejected(f"it holds {file.data.ndim} dimensions of {file.data.dtype}, which is not a picture")
            yield Stack(kind, file.data if file.data.ndim == 3 else file.data[None], scale, fault)
        return
    if importlib.util.find_spec("ncempy") is None:
        raise Rejected(
            f"it is {LONG_NAMES[kind]}, which is read only with the extra `tem-formats` (see README); or export it as "
            "TIFF with all its bits"
        )
    from nephroscale.slides.tem_formats import read_microscope_file

    try:
        found = read_microscope_file(path, kind)
    except (MemoryError, ImportError, FileNotFoundError, PermissionError, Rejected):
        raise
    except Exception as error:  # of any class
        raise Rejected(
            f"it is {LONG_NAMES[kind]}, in which no picture can be read ({type(error).__name__}); export it as TIFF "
            "with all its bits"
        ) from error
    yield Stack(kind, found.planes, _scale(found.size * NM.get(found.unit.strip().lower(), 0.0), kind))


def _mrc_scale(x: float, y: float) -> tuple[MicroscopeScale | None, str]:
    """Give the scale of voxels whose sides are in angstroms, and why they have none.

    Programs that know no scale write exactly 1 angstrom, which no micrograph of tissue has.
    """
    if x == y == 1 or not (is_scale(0.1 * x) and is_scale(0.1 * y)):
        return None, ""
    ratio = max(x, y) / min(x, y)
    if ratio > 1 + UNLIKE:
        return None, f"{NOT_SQUARE} ({0.1 * x:.4g} x {0.1 * y:.4g} nm); resample it"
    return (_scale(0.1 * x, "MRC") if ratio <= 1 + SQUARE else None), ""


def choose_plane(stack: Stack, page: int | None) -> int:
    """Choose the plane to read, from 0.

    Parameters
    ----------
    stack
        The open file.
    page
        The plane that the table names, from 1; None where it names none.

    Raises
    ------
    Rejected
        When there are several and none is named, or it does not exist.
    """
    count = len(stack.planes)
    if page is None and count > 1:
        raise Rejected(f"it has {count} pages of one size; name one in the column path, as a.{stack.kind.lower()}#2")
    if page is not None and page > count:
        raise Rejected(f"it has no page #{page}, but {count}")
    return 0 if page is None else page - 1


def _scale(nm: float, source: str) -> MicroscopeScale | None:
    return MicroscopeScale(nm, source) if is_scale(nm) else None
