"""Find the raw images below a folder, and the outlines that lie beside them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nephroscale.slides.companions import HAMAMATSU
from nephroscale.slides.raw import DICOM, find_sidecar

IMAGES = {
    *(".svs", ".ndpi", ".tif", ".tiff", ".scn", ".bif", ".svslide", ".mrxs", ".png", ".jpg", ".jpeg", ".bmp"),
    *(".jp2", ".mrc", ".dm3", ".dm4", ".emd", ".ser", ".czi", ".lif", ".nd2", ".oib", ".oif"),
}
# The best kind first, where several lie beside one image; masks come last.
OUTLINES = (".geojson", ".json", ".xml", ".annotations", ".zip", ".roi")
_EXTENSIONS = "|".join(each[1:] for each in sorted(IMAGES | HAMAMATSU | DICOM))
# Words that tell an image from its outlines, at the end of a name.
_MASK = re.compile(r"[ ._-](?:glomeruli[ ._-])?(?:mask|masks|label|labels|seg|segmentation)$")
_TISSUE = re.compile(r"[ ._-]tissue(?:[ ._-]mask)?$")
_ROLE = re.compile(
    rf"[ ._-](?:image|img|{_EXTENSIONS}|masks?|labels?|seg|segmentation|tissue|annotations?|outlines?|glomeruli|imagej|"
    r"qupath|rois?)$"
)


@dataclass(frozen=True)
class FoundImage:
    """A raw image.

    Parameters
    ----------
    path
        Relative to the folder, with ``/``; the folder of a DICOM series stands for its files.
    outlines
        File of outlines beside it, in the same form; None where there is none.
    """

    path: str
    outlines: str | None = None


@dataclass(frozen=True)
class FoundFiles:
    """The images of a folder, in the order of their paths, and the files that are none."""

    images: list[FoundImage]
    others: list[str]


def find_images(folder: Path, *, without: Path | None = None) -> FoundFiles:
    """List the images below a folder; hidden files, and links to folders, are left out.

    Parameters
    ----------
    folder
        Where to look.
    without
        A folder below it that is not looked at.
    """
    images: list[FoundImage] = []
    others: list[str] = []
    for here, names in _folders(folder, without):
        relative = here.relative_to(folder).as_posix().removeprefix(".")
        prefix = f"{relative}/" if relative else ""
        found, rest = _sort(names)
        if found and all(_suffix(name) in DICOM for name in found) and len(found) > 1 and relative:
            images.append(FoundImage(relative))
            others += [prefix + name for name in rest]
            continue
        sidecars = {path.name for name in found if (path := find_sidecar(here / name))}
        rest = [name for name in rest if name not in sidecars]  # they belong to their image
        outlines = _outlines(rest)
        used = {outlines[_key(name)] for name in found if _key(name) in outlines}
        for name in found:
            beside = outlines.get(_key(name))
            images.append(FoundImage(prefix + name, None if beside is None else prefix + beside))
        others += [prefix + name for name in rest if name not in used]
    return FoundFiles(sorted(images, key=lambda image: image.path), sorted(others))


def _folders(folder: Path, without: Path | None) -> Iterator[tuple[Path, list[str]]]:
    for here, folders, names in os.walk(folder):
        slides = {name[:-5] for name in names if _suffix(name) == ".mrxs"}  # each has a folder of its pixels
        slides |= {
            f"{name[:-4]}{end}" for name in names if _suffix(name) == ".oif" for end in (".oif.files", ".OIF.files")
        }
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and name not in slides and Path(here, name).resolve() != without
        )
        yield Path(here), sorted(name for name in names if not name.startswith("."))


def _sort(names: list[str]) -> tuple[list[str], list[str]]:
    """Separate images from masks and from all other files."""
    parts_of_slide = any(_suffix(name) in HAMAMATSU for name in names)  # whose JPEG files are no images
    kinds = HAMAMATSU | DICOM | (IMAGES - {".jpg", ".jpeg"} if parts_of_slide else IMAGES)
    found = [name for name in names if _suffix(name) in kinds and not _is_mask(name) and not _is_tissue(name)]
    return found, [name for name in names if name not in found]


def _outlines(names: Iterable[str]) -> dict[str, str]:
    """Find the best file of outlines for each name that an image may have."""
    kinds = {suffix: place for place, suffix in enumerate(OUTLINES)}
    best: dict[str, tuple[int, str]] = {}
    for name in names:
        kind = len(OUTLINES) if _is_mask(name) else kinds.get(_suffix(name))
        if kind is not None:
            best[_key(name)] = min((kind, name), best.get(_key(name), (kind, name)))
    return {key: name for key, (_, name) in best.items()}


def _is_mask(name: str) -> bool:
    stem = PurePosixPath(name.casefold()).stem
    return _suffix(name) in IMAGES and bool(_MASK.search(stem)) and not _TISSUE.search(stem)


def _is_tissue(name: str) -> bool:
    return bool(_TISSUE.search(PurePosixPath(name.casefold()).stem))


def _key(name: str) -> str:
    """Reduce a name to what an image and its outlines share."""
    stem = PurePosixPath(name.casefold()).stem
    while (shorter := _ROLE.sub("", stem)) != stem:
        stem = shorter
    return stem


def _suffix(name: str) -> str:
    return PurePosixPath(name.casefold()).suffix
