"""Find, link and digest the files of one raw image.

The module imports the standard library only (and BLAKE3 when it hashes), because every image of the cohort is checked
before each run.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
from functools import lru_cache
from pathlib import Path

from nephroscale.errors import NephroscaleError
from nephroscale.slides.companions import HAMAMATSU, list_hamamatsu, list_mirax, list_oif

DICOM = {".dcm", ".dicom"}
PICTURES = {".tif", ".tiff", ".jpg", ".jpeg", ".png", ".bmp", ".jp2", ".mrc"}
_STATES_SCALE = re.compile(rb"PixelSize|PixelSpacing|SM_MICRON_BAR|XpixCal|<MicroscopeImage")
_SIDECAR_BYTES = 1 << 16
_UID = rb"([0-9.]{1,64})\0?"
# StudyInstanceUID and SeriesInstanceUID are adjacent only at the top level; references to other series are nested.
_SERIES = (
    re.compile(rb"\x20\0\x0d\0UI.." + _UID + rb"\x20\0\x0e\0UI.." + _UID, re.DOTALL),
    re.compile(rb"\x20\0\x0d\0..\0\0" + _UID + rb"\x20\0\x0e\0..\0\0" + _UID, re.DOTALL),
)


def list_files(path: Path) -> list[tuple[str, Path]]:
    """List the files of one raw image.

    Parameters
    ----------
    path
        A file or a folder of DICOM files: the `.mrxs` of an MRXS slide, any file of a DICOM series.

    Returns
    -------
    list of (str, Path)
        Name in the folder of links (ASCII, unless the format refers to the file by name) and real path, sorted by
        name.

    Raises
    ------
    NephroscaleError
        When a file is missing, or a folder does not have exactly one DICOM series.
    """
    path = Path(path)
    if path.is_dir():
        found = _dicom_folder(path)
    elif not path.is_file():
        raise NephroscaleError("The file does not exist.", where=str(path), fix="Correct the path in images.csv.")
    elif path.suffix.lower() == ".mrxs":
        found = list_mirax(path)
    elif path.suffix.lower() in HAMAMATSU:
        found = list_hamamatsu(path)
    elif path.suffix.lower() == ".oif":
        found = list_oif(path)
    elif path.suffix.lower() in DICOM:
        found = _dicom_file(path)
    else:
        found = [("slide" + _extension(path), path)]
        if sidecar := find_sidecar(path):
            found.append(("sidecar" + _extension(sidecar), sidecar))
    return sorted((name, Path(os.path.realpath(real))) for name, real in found)


def find_sidecar(path: Path) -> Path | None:
    """Find the file beside a picture in which the microscope's program wrote its scale.

    Parameters
    ----------
    path
        A picture, or a link to one.

    Returns
    -------
    Path or None
        For `A.tif` the first of `A.txt` (Hitachi, JEOL), `A.hdr` or `A-tif.hdr` (Tescan), `A.xml` (EPU) and `A.mdoc` or
        `A.tif.mdoc` (SerialEM) that states a scale. Case does not matter.
    """
    path = Path(path)
    if path.suffix.lower() not in PICTURES:
        return None
    places = [path, Path(os.path.realpath(path))] if path.is_symlink() else [path]
    for place in places:
        try:
            names = _names_in(str(place.parent), place.parent.stat().st_mtime_ns)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if not names:
            continue
        stem, suffix = place.stem, place.suffix[1:]
        stems = ["sidecar", stem] if stem == "slide" else [stem]  # a folder of links
        wanted = [name + end for name in stems for end in (".txt", ".hdr", f"-{suffix}.hdr", ".xml", ".mdoc")]
        for name in (*wanted, f"{place.name}.mdoc"):
            if found := names.get(name.casefold()):
                sidecar = place.parent / found
                state = sidecar.stat()
                if _states_scale(str(sidecar), state.st_mtime_ns, state.st_size):
                    return sidecar
    return None


@lru_cache(maxsize=64)
def _names_in(folder: str, changed: int) -> dict[str, str]:  # noqa: ARG001  (a changed folder is listed again)
    """Possible sidecars of a folder, by their case-folded names."""
    ends = (".txt", ".hdr", ".xml", ".mdoc")
    return {name.casefold(): name for name in sorted(os.listdir(folder)) if name.casefold().endswith(ends)}  # noqa: PTH208


@lru_cache(maxsize=1 << 16)
def _states_scale(path: str, changed: int, size: int) -> bool:  # noqa: ARG001
    with Path(path).open("rb") as file:
        return _STATES_SCALE.search(file.read(_SIDECAR_BYTES).replace(b"\0", b"")) is not None  # may be UTF-16


def link_raw(path: Path, folder: Path) -> Path:
    """Create or update the folder of links through which one raw image is opened under plain names.

    Each link is created by renaming, so that concurrent callers see complete links only. Links of other files are
    removed, correct links are not touched.

    Parameters
    ----------
    path
        As for :func:`list_files`.
    folder
        Folder of the links of this image; created if needed.

    Returns
    -------
    Path
        The link that a reader opens.
    """
    folder = Path(folder)
    files = list_files(path)
    names = dict(files)
    for name, real in files:
        link = folder / name
        if link.is_symlink() and os.readlink(link) == str(real):  # noqa: PTH115  (the text of the link is compared)
            continue
        link.parent.mkdir(parents=True, exist_ok=True)
        temporary = link.with_name(f".{link.name}.{secrets.token_hex(8)}.new")
        temporary.symlink_to(real)
        temporary.replace(link)
    # Only links of an earlier call; callers keep their own links in other folders.
    for stale in sorted([*folder.glob("*"), *folder.glob("slide/**/*"), *folder.glob("slide.oif.files/*")]):
        name = stale.relative_to(folder).as_posix()
        if stale.is_symlink() and name not in names and not stale.name.startswith("."):
            stale.unlink(missing_ok=True)
    return folder / next((name for name in names if "/" not in name and Path(name).stem == "slide"), files[0][0])


def stat_signature(path: Path) -> tuple[str, int]:
    """Digest names, sizes, times and inodes of the files of an image: equal as long as no file is changed.

    Returns
    -------
    tuple of (str, int)
        Hexadecimal digest, and the total size in bytes.
    """
    digest, total = hashlib.blake2b(digest_size=16), 0
    plain = _plain_file(path)
    if plain:  # the fast way: most raw images are one file
        name, state = plain
        digest.update(_state_line(name, state))
        return digest.hexdigest(), state.st_size
    for name, real in list_files(path):
        state = real.stat()
        digest.update(_state_line(name, state))
        total += state.st_size
    return digest.hexdigest(), total


def _state_line(name: str, state: os.stat_result) -> bytes:
    return f"{name}\0{state.st_size}\0{state.st_mtime_ns}\0{state.st_ino}\n".encode()


def _plain_file(path: Path) -> tuple[str, os.stat_result] | None:
    """Give link name and state of an image that is certainly one file, else None."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in {".mrxs", ".oif"} or suffix in HAMAMATSU or suffix in DICOM:
        return None
    try:
        state = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    if not stat.S_ISREG(state.st_mode) or find_sidecar(path):
        return None
    return "slide" + _extension(path), state


def digest(path: Path) -> str:
    """Compute the BLAKE3 digest of an image: of its only file, or of the sorted names and digests of its files.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    from nephroscale.store.digest import digest_file, digest_json

    files = list_files(path)
    if len(files) == 1:
        return digest_file(files[0][1])
    return digest_json([[name, digest_file(real)] for name, real in files])


def _extension(path: Path) -> str:
    return path.suffix.lower() if re.fullmatch(r"\.[a-z0-9]+", path.suffix.lower()) else ""


def _dicom_folder(path: Path) -> list[tuple[str, Path]]:
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in DICOM and p.is_file())
    if not files:
        raise NephroscaleError(
            "This folder has no DICOM file.", where=str(path), fix="Give the file of the slide instead."
        )
    if len({_series(file) for file in files}) > 1:
        raise NephroscaleError(
            "This folder has more than one DICOM series.",
            where=str(path),
            fix="Give one file of the wanted series.",
        )
    return _numbered(files)


def _dicom_file(path: Path) -> list[tuple[str, Path]]:
    series = _series(path)
    if series is None:
        return [("slide.dcm", path)]
    siblings = [p for p in path.parent.iterdir() if p.suffix.lower() in DICOM and p.is_file() and p.name != path.name]
    # Sorted by name, so that any file of the series gives the same list.
    return _numbered(sorted([path, *(p for p in siblings if _series(p) == series)]))


def _numbered(files: list[Path]) -> list[tuple[str, Path]]:
    return [("slide.dcm" if i == 0 else f"slide-{i:04d}.dcm", file) for i, file in enumerate(files)]


def _series(path: Path) -> bytes | None:
    """Read the SeriesInstanceUID of a DICOM file (little endian, explicit or implicit); None if it has none."""
    with path.open("rb") as file:
        head = file.read(1 << 18)
    for pattern in _SERIES:
        if match := pattern.search(head):
            return match[2]
    return None
