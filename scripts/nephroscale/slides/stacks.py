"""Pictures, or stacks of them, in formats of electron microscopes: MRC, and those of an optional extra."""

from __future__ import annotations

import importlib.util
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from nephroscale.errors import Rejected
from nephroscale.slides.microscope_scale import ANGSTROM, MicroscopeScale, is_scale, mean_side
from nephroscale.slides.readers.stated_mpp import NOT_SQUARE

if TYPE_CHECKING:
    from mrcfile.mrcmemmap import MrcMemmap

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
IMOD, IMOD_PLACE, SIGNED_BYTES = 1146047817, 40, 1  # its stamp, the place of it and of its flags, and one of these


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
            planes = _mrc_planes(file)
            with np.errstate(all="ignore"):  # a header without the number of voxels
                scale, fault = _mrc_scale(float(file.voxel_size.x), float(file.voxel_size.y))
            yield Stack(kind, planes, scale, fault)
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
    yield Stack(kind, found.planes, _scale(mean_side(*found.sides), kind), found.fault)


def _mrc_planes(file: MrcMemmap) -> Sequence[np.ndarray]:
    """Give the pictures of an open MRC file, [h, w] each; bytes without a sign where its header has it so."""
    data: Any = file.data
    header = cast("np.recarray", file.header)
    if data is None:
        mode = -1 if header is None else int(header.mode)
        if mode in {-1, 4, *MRC_BYTES}:
            raise Rejected("image cannot be decoded (the MRC file is damaged or truncated); copy or export it again")
        raise Rejected(f"its numbers are of mode {mode} of MRC, which is not read; save it in mode 1 or 2, or as TIFF")
    if data.ndim not in {2, 3} or data.dtype.kind not in "iuf":
        raise Rejected(
            f"it holds {data.ndim} dimensions of {data.dtype}, which is not a picture; export one as TIFF with all its "
            "bits"
        )
    if data.dtype == np.int8 and _has_unsigned_bytes(header):
        data = data.view(np.uint8)
    return cast("Sequence[np.ndarray]", data if data.ndim == 3 else data[None])


def _has_unsigned_bytes(header: np.recarray) -> bool:
    """Whether bytes have no sign: by the flags of IMOD, or by the range that the header states."""
    stamp, flags = np.frombuffer(header.extra2.tobytes(), header.mode.dtype)[IMOD_PLACE // 4 :][:2]
    if stamp == IMOD:
        return not flags & SIGNED_BYTES
    return bool(0 <= header.dmin < header.dmax <= 255 and header.dmax > 127)


def _mrc_scale(x: float, y: float) -> tuple[MicroscopeScale | None, str]:
    """Give the scale of voxels whose sides are in angstroms, and why they have none.

    Programs that know no scale write exactly 1 angstrom, which no micrograph of tissue has.
    """
    if x == y == 1 or not (is_scale(ANGSTROM * x) and is_scale(ANGSTROM * y)):
        return None, ""
    mean = mean_side(ANGSTROM * x, ANGSTROM * y)
    if mean is None:
        return None, f"{NOT_SQUARE} ({ANGSTROM * x:.4g} x {ANGSTROM * y:.4g} nm); resample it"
    return _scale(mean, "MRC"), ""


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


def _scale(nm: float | None, source: str) -> MicroscopeScale | None:
    return None if nm is None else MicroscopeScale(nm, source)
