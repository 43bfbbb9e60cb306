"""Find the files that belong to an image of several files, by the name of the one that is opened.

Each list has a name in the folder of links (:func:`nephroscale.slides.raw.link_raw`) and the path of each file. Only
the standard library is imported.
"""

from __future__ import annotations

import configparser
import os
from pathlib import Path

from nephroscale.errors import NephroscaleError

HAMAMATSU = {".vms", ".vmu"}


def _beside(path: Path, name: str) -> Path:
    """Find a companion in the folder of the file, or else in the folder of the file that it links to."""
    here = path.with_name(name)
    return here if here.exists() else Path(os.path.realpath(path)).with_name(name)


def list_mirax(path: Path) -> list[tuple[str, Path]]:
    """List an MRXS slide and the files in its folder."""
    data = _beside(path, path.stem)
    if not data.is_dir():  # the link may have another name than the slide
        data = Path(os.path.realpath(path)).with_suffix("")
    if not (data / "Slidedat.ini").is_file():
        raise NephroscaleError(
            "An MRXS slide needs a folder of the same name next to it, with Slidedat.ini.",
            where=str(path),
            fix="Copy the slide again, with its folder.",
        )
    companions = sorted(p for p in data.rglob("*") if p.is_file())
    return [("slide.mrxs", path), *((f"slide/{p.relative_to(data).as_posix()}", p) for p in companions)]


def list_hamamatsu(path: Path) -> list[tuple[str, Path]]:
    """List a VMS or VMU slide and the files that it names."""
    index = configparser.RawConfigParser(strict=False)
    try:
        index.read_string(path.read_text(encoding="utf-8", errors="replace"))
    except configparser.Error:
        return [("slide" + path.suffix.lower(), path)]
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
            f"This slide refers to files that do not exist: {', '.join(missing)}.",
            where=str(path),
            fix="Copy them too.",
        )
    return [("slide" + path.suffix.lower(), path), *companions.items()]


def oif_folder(path: Path) -> Path | None:
    """Find the folder in which an OIF file of Olympus has its pictures; None where there is none."""
    folders = [place.with_name(f"{place.name}.files") for place in (path, Path(os.path.realpath(path)))]
    return next((folder for folder in folders if folder.is_dir()), None)


def list_oif(path: Path) -> list[tuple[str, Path]]:
    """List an OIF file of Olympus, and the pictures and their settings in its folder."""
    folder = oif_folder(path)
    if folder is None:
        raise NephroscaleError(
            "An OIF file needs the folder of its pictures next to it, with the same name and `.files`.",
            where=str(path),
            fix="Copy it again, with its folder.",
        )
    companions = sorted(p for p in folder.iterdir() if p.suffix.lower() in {".tif", ".pty"} and p.is_file())
    return [("slide.oif", path), *((f"slide.oif.files/{p.name}", p) for p in companions)]
