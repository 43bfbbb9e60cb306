"""A folder for QuPath: outlines of all slides, and scripts that load and save them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import NamedTuple

from nephroscale.errors import NephroscaleError

_FIND = """\
// Put this folder, $folder, into the folder of the QuPath project.
// The end of each raw file's path, and the id of its image.
def ids = [
$ids
]
def folder = new File(buildFilePath(PROJECT_BASE_DIR, '$folder'))
def paths = getCurrentServer().getURIs().collect { '/' + it.getPath().replace('\\\\', '/') }
def id = ids.find { ending, image -> paths.any { it.endsWith('/' + ending) } }?.value
if (id == null) {
    println 'This image is not in the study: ' + paths
    return
}
"""
_LOAD = Template(
    """\
// Loads the outlines of glomeruli of the open image (Run), or of all images (Run for project).
import qupath.lib.io.PathIO

"""
    + _FIND
    + """\
def file = new File(folder, 'outlines/' + id + '.geojson')
if (getAnnotationObjects().any { it.getPathClass()?.getName() == 'Glomerulus' }) {
    println id + ' already has outlines; nothing was loaded.'
    return
}
addObjects(PathIO.readObjects(file.toPath()))
println 'Loaded the outlines of ' + id
"""
)
_SAVE = Template(
    """\
// Saves the corrected outlines of the open image (Run), or of all images (Run for project).
"""
    + _FIND
    + """\
def corrected = new File(folder, 'corrected')
corrected.mkdirs()
def drawn = getAnnotationObjects().findAll { it.getPathClass() != null }
exportObjectsToGeoJson(drawn, new File(corrected, id + '.geojson').getPath(), 'FEATURE_COLLECTION')
println 'Saved ' + drawn.size() + ' outlines of ' + id
"""
)


class OutlinedSlide(NamedTuple):
    """The raw file of an image, and its outlines."""

    raw: Path
    outlines: Path


def write_qupath(slides: Mapping[str, OutlinedSlide], out: Path) -> None:
    """Write outlines and scripts for QuPath (0.4 or later).

    Parameters
    ----------
    slides
        By image id.
    out
        Folder to create: `load_outlines.groovy`, `save_outlines.groovy` and `outlines/<image id>.geojson`.

    Raises
    ------
    NephroscaleError
        When the folder exists.
    """
    if out.exists():
        raise NephroscaleError("This folder exists.", where=str(out), fix="Name a new folder.")
    (out / "outlines").mkdir(parents=True)
    for image, slide in slides.items():
        shutil.copyfile(slide.outlines, out / "outlines" / f"{image}.geojson")
    endings = shortest_endings({image: slide.raw.parts for image, slide in slides.items()})
    ordered = sorted(endings.items(), key=lambda entry: (-len(entry[1]), entry))  # a longer ending is tried first
    ids = ",\n".join(f"    {_groovy(ending)}: {_groovy(image)}" for image, ending in ordered)
    for name, script in (("load", _LOAD), ("save", _SAVE)):
        text = script.substitute(ids=ids, folder=_groovy(out.name)[1:-1])
        (out / f"{name}_outlines.groovy").write_text(text, encoding="utf-8")


def shortest_endings(paths: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Give each path's shortest ending, in whole parts, that no other path has; a whole path where there is none.

    Parameters
    ----------
    paths
        Id to the parts of a path.
    """
    found = {}
    for name, parts in paths.items():
        others = [tuple(other) for key, other in paths.items() if key != name]
        lengths = range(1, len(parts) + 1)
        length = next((n for n in lengths if all(o[-n:] != tuple(parts)[-n:] for o in others)), len(parts))
        found[name] = "/".join(parts[-length:])
    return found


def _groovy(text: str) -> str:
    """Quote a text for Groovy."""
    return "'" + json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"
