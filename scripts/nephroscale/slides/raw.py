"""The files that make up one raw image: found, linked, and digested.

Light on purpose (standard library alone, BLAKE3 only when something is hashed): the pre-pass asks it about every
image of the cohort.
"""

from __future__ import annotations

import configparser
import hashlib
import os
import re
import secrets
import stat
from pathlib import Path

from nephroscale.errors import NephroscaleError

DICOM = {".dcm", ".dicom"}
HAMAMATSU = {".vms", ".vmu"}
_UID = rb"([0-9.]{1,64})\0?"
# Study and series stand side by side only at the top level of a data set; references to other series are nested.
_SERIES = (
    re.compile(rb"\x20\0\x0d\0UI.." + _UID + rb"\x20\0\x0e\0UI.." + _UID, re.DOTALL),
    re.compile(rb"\x20\0\x0d\0..\0\0" + _UID + rb"\x20\0\x0e\0..\0\0" + _UID, re.DOTALL),
)


def gather(path: Path) -> list[tuple[str, Path]]:
    """Find the files of one raw image.

    Parameters
    ----------
    path
        A file, or a folder of DICOM files. Of an MRXS slide the `.mrxs`; of a DICOM series any of its files.

    Returns
    -------
    list of (str, Path)
        Name inside a link folder (plain ASCII unless the format itself refers to the file by name) and real path,
        sorted by name.

    Raises
    ------
    NephroscaleError
        When a file is absent, or a folder holds no DICOM series or several.
    """
    path = Path(path)
    if path.is_dir():
        found = _dicom_folder(path)
    elif not path.is_file():
        raise NephroscaleError("There is no such file.", where=str(path), todo="Correct the path in images.csv.")
    elif path.suffix.lower() == ".mrxs":
        found = _mirax(path)
    elif path.suffix.lower() in HAMAMATSU:
        found = _hamamatsu(path)
    elif path.suffix.lower() in DICOM:
        found = _dicom_file(path)
    else:
        found = [("slide" + _extension(path), path)]
    return sorted((name, Path(os.path.realpath(real))) for name, real in found)


def link_raw(path: Path, folder: Path) -> Path:
    """Make or refresh a folder of links through which one raw image can be opened under harmless names.

    Each link is put in place by renaming, so that concurrent callers see whole links only; what does not belong
    there is removed; where everything is right, nothing is touched.

    Parameters
    ----------
    path
        As for :func:`gather`.
    folder
        Folder of this image's links; made if needed.

    Returns
    -------
    Path
        The link to hand to a reader.
    """
    folder = Path(folder)
    files = gather(path)
    wanted = {name for name, _ in files}
    for name, real in files:
        link = folder / name
        if link.is_symlink() and os.readlink(link) == str(real):  # noqa: PTH115  (the text itself is compared)
            continue
        link.parent.mkdir(parents=True, exist_ok=True)
        temporary = link.with_name(f".{link.name}.{secrets.token_hex(8)}.new")
        temporary.symlink_to(real)
        temporary.replace(link)
    # Only what a former call may have left: callers keep links of their own in further folders.
    for stale in sorted([*folder.glob("*"), *folder.glob("slide/**/*")]):
        name = stale.relative_to(folder).as_posix()
        if stale.is_symlink() and name not in wanted and not stale.name.startswith("."):
            stale.unlink(missing_ok=True)
    return folder / _entry([name for name, _ in files])


def stat_signature(path: Path) -> tuple[str, int]:
    """Digest the names, sizes, times and inodes of an image's files: equal while nobody touched them.

    Returns
    -------
    tuple of (str, int)
        Hexadecimal digest, and the total size in bytes.
    """
    digest, total = hashlib.blake2b(digest_size=16), 0
    plain = _plain_file(path)
    if plain:  # most raw images are one file, and the pre-pass asks about every one of them
        name, state = plain
        digest.update(_state_line(name, state))
        return digest.hexdigest(), state.st_size
    for name, real in gather(path):
        state = real.stat()
        digest.update(_state_line(name, state))
        total += state.st_size
    return digest.hexdigest(), total


def _state_line(name: str, state: os.stat_result) -> bytes:
    return f"{name}\0{state.st_size}\0{state.st_mtime_ns}\0{state.st_ino}\n".encode()


def _plain_file(path: Path) -> tuple[str, os.stat_result] | None:
    """What :func:`gather` would find of an image that is one file for certain, and its state; else None."""
    suffix = Path(path).suffix.lower()
    if suffix == ".mrxs" or suffix in HAMAMATSU or suffix in DICOM:
        return None
    try:
        state = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return ("slide" + _extension(Path(path)), state) if stat.S_ISREG(state.st_mode) else None


def digest(path: Path) -> str:
    """BLAKE3 of an image: of the one file's bytes, or of the sorted names and digests of several files.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    from nephroscale.store.digest import digest_file, digest_json

    files = gather(path)
    if len(files) == 1:
        return digest_file(files[0][1])
    return digest_json([[name, digest_file(real)] for name, real in files])


def _entry(names: list[str]) -> str:
    """Name of the file that a reader opens, among the names of an image's links."""
    return next((name for name in names if "/" not in name and Path(name).stem == "slide"), names[0])


def _extension(path: Path) -> str:
    return path.suffix.lower() if re.fullmatch(r"\.[a-z0-9]+", path.suffix.lower()) else ""


def _beside(path: Path, name: str) -> Path:
    """Find a companion beside the file as named, or else beside the file it is a link to."""
    here = path.with_name(name)
    return here if here.exists() else Path(os.path.realpath(path)).with_name(name)


def _mirax(path: Path) -> list[tuple[str, Path]]:
    data = _beside(path, path.stem)
    if not data.is_dir():  # the link may be named differently from the slide it points to
        data = Path(os.path.realpath(path)).with_suffix("")
    if not (data / "Slidedat.ini").is_file():
        raise NephroscaleError(
            "An MRXS slide needs the folder of the same name beside it, with Slidedat.ini.",
            where=str(path),
            todo="Copy the slide again, with its folder.",
        )
    companions = sorted(p for p in data.rglob("*") if p.is_file())
    return [("slide.mrxs", path), *((f"slide/{p.relative_to(data).as_posix()}", p) for p in companions)]


def _hamamatsu(path: Path) -> list[tuple[str, Path]]:
    index = configparser.RawConfigParser(strict=False)
    try:
        index.read_string(path.read_text(encoding="utf-8", errors="replace"))
    except configparser.Error:
        return [("slide" + _extension(path), path)]
    values = {
        value.strip()
        for section in index.sections()
        for key, value in index[section].items()
        if "file" in key or "image" in key
    }
    companions = {name: _beside(path, name) for name in values if Path(name).suffix and "/" not in name}
    missing = sorted(name for name, real in companions.items() if not real.is_file())
    if missing:
        raise NephroscaleError(
            f"This slide refers to files that are absent: {', '.join(missing)}.", where=str(path), todo="Copy them too."
        )
    return [("slide" + _extension(path), path), *companions.items()]


def _dicom_folder(path: Path) -> list[tuple[str, Path]]:
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in DICOM and p.is_file())
    if not files:
        raise NephroscaleError(
            "This folder holds no DICOM file.", where=str(path), todo="Name the slide's file instead."
        )
    if len({_series(file) for file in files}) > 1:
        raise NephroscaleError(
            "This folder holds more than one DICOM series.",
            where=str(path),
            todo="Name one file of the series that is meant.",
        )
    return _numbered(files)


def _dicom_file(path: Path) -> list[tuple[str, Path]]:
    series = _series(path)
    if series is None:
        return [("slide.dcm", path)]
    siblings = [p for p in path.parent.iterdir() if p.suffix.lower() in DICOM and p.is_file() and p.name != path.name]
    # Ordered by name whichever file was named, so that each of them stands for the same series.
    return _numbered(sorted([path, *(p for p in siblings if _series(p) == series)]))


def _numbered(files: list[Path]) -> list[tuple[str, Path]]:
    return [("slide.dcm" if i == 0 else f"slide-{i:04d}.dcm", file) for i, file in enumerate(files)]


def _series(path: Path) -> bytes | None:
    """SeriesInstanceUID of a DICOM file, little endian, explicit or implicit; None where there is none."""
    with path.open("rb") as file:
        head = file.read(1 << 18)
    for pattern in _SERIES:
        if match := pattern.search(head):
            return match[2]
    return None
