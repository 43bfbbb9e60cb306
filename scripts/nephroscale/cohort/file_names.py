"""What the names of files and folders say: patient, modality, stain or marker; and ids made from them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from nephroscale.errors import NephroscaleError

MODALITIES = {
    "OM": {"om", "lm", "light", "optical", "brightfield", "histology", "wsi", "光镜", "光学"},
    "IM": {"im", "if", "imf", "dif", "fluorescence", "immunofluorescence", "免疫荧光", "荧光"},
    "TEM": {"tem", "em", "electron", "ultrastructure", "电镜", "电子"},
}
STAINS = {
    "PASM": {"pasm", "jones", "silver", "jms", "methenamine"},
    "PAS": {"pas"},
    "HE": {"he", "h&e", "hematoxylin", "haematoxylin"},
    "Masson": {"masson", "trichrome", "mt"},
}
MARKERS = {
    "IgA": {"iga"},
    "IgG": {"igg"},
    "IgM": {"igm"},
    "C3": {"c3", "c3c"},
    "C1q": {"c1q"},
    "C4": {"c4", "c4c"},
    "fibrinogen": {"fibrinogen", "fib", "fibr"},
    "kappa": {"kappa"},
    "lambda": {"lambda"},
    "albumin": {"albumin", "alb"},
}
"""Name in the tables, and the words for it in names of files and folders (case-folded)."""

FIELDS = ("patient", "biopsy", "modality", "stain", "marker")
_GENERIC = {"slides", "images", "image", "raw", "data", "pictures", "photos"}
_LIGHT_CHAIN = re.compile(r"light[ _-]?chains?")
#: Letters that have no ASCII letter within them.
_LETTERS = str.maketrans(
    {"ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"}
    | {"đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ı": "i"}
)
_WORD = re.compile(r"[^\W_]+(?:&[^\W_]+)?")


@dataclass(frozen=True)
class NamedParts:
    """What the path of a file states; empty texts for what it does not state.

    Parameters
    ----------
    patient, biopsy
        As written.
    modality, stain, marker
        As the tables write them; a stain or marker that a pattern names but nobody knows is kept as written.
    """

    patient: str = ""
    biopsy: str = ""
    modality: str = ""
    stain: str = ""
    marker: str = ""


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Turn a pattern of paths into a regular expression.

    Parameters
    ----------
    pattern
        Such as ``{patient}/{modality}/{stain}*``. A field stands for text within one folder or file name, ``*`` for any
        such text, ``**/`` for any folders. A field before ``*`` ends at the first of ``. _ -`` or a space. The
        extension may be left out.

    Raises
    ------
    NephroscaleError
        When a field is unknown or named twice, or there is no ``{patient}``.
    """
    pieces = re.split(r"(\{\w*\}\*?|\*\*/|\*)", pattern)
    fields = [piece.strip("{}*") for piece in pieces if piece.startswith("{")]
    unknown = [name for name in fields if name not in FIELDS]
    if unknown or "patient" not in fields or len(set(fields)) < len(fields):
        what = f"There is no field {unknown[0]!r}." if unknown else "The pattern needs {patient}, and each field once."
        raise NephroscaleError(what, where=f"--pattern {pattern}", fix=f"The fields are {', '.join(FIELDS)}.")
    known = {"**/": "(?:.*/)?", "*": "[^/]*"}
    text = ""
    for piece in pieces:
        if piece.endswith("}*"):
            text += rf"(?P<{piece[1:-2]}>[^/._ -]+)(?:[._ -][^/]*)?"
        elif piece.startswith("{"):
            text += rf"(?P<{piece[1:-1]}>[^/]+?)"
        else:
            text += known.get(piece, re.escape(piece))
    return re.compile(text + r"(?:\.[^/]*)?")


def parse_path(path: str, pattern: re.Pattern[str] | None = None) -> NamedParts | None:
    """Read patient, modality, stain and marker from the path of an image.

    Without a pattern, the patient is the first folder that names neither a modality, a stain nor a marker; in a folder
    without such folders it is the beginning of the file name, up to the first word that does, or the whole name.

    Parameters
    ----------
    path
        Relative to the folder of the study's files, with ``/``.
    pattern
        Of :func:`compile_pattern`.

    Returns
    -------
    NamedParts or None
        None where the path does not fit the pattern.
    """
    parts = PurePosixPath(path).with_suffix("").parts
    if pattern is None:
        return _complete(NamedParts(patient=_patient(parts)), parts)
    found = pattern.fullmatch(path)
    if found is None:
        return None
    given = {name: text for name, text in found.groupdict().items() if text}
    named = _complete(
        NamedParts(
            patient=given.pop("patient"),
            biopsy=given.pop("biopsy", ""),
            modality=_name_in((given.pop("modality", ""),), MODALITIES),
        ),
        parts,
    )
    text = given.get("stain") or given.get("marker")
    if text and named.modality == "OM" and not named.stain:
        return replace(named, stain=_name_in((text,), STAINS) or text)
    if text and named.modality == "IM" and not named.marker:
        return replace(named, marker=_name_in((text,), MARKERS) or text)
    return named


def _complete(named: NamedParts, parts: tuple[str, ...]) -> NamedParts:
    """Add modality, stain and marker from the words of a path, the file name first."""
    stain, marker = _name_in(parts, STAINS), _name_in(parts, MARKERS)
    modality = named.modality or _name_in(parts, MODALITIES) or ("OM" if stain else "IM" if marker else "")
    return replace(
        named, modality=modality, stain=stain if modality == "OM" else "", marker=marker if modality == "IM" else ""
    )


def _patient(parts: tuple[str, ...]) -> str:
    for folder in parts[:-1]:
        if not all(_is_known(word) for word in _words(folder)) and folder.casefold() not in _GENERIC:
            return folder
    name = parts[-1]
    for place, word in enumerate(_WORD.finditer(name)):
        if place and _is_known(word.group().casefold()):
            return name[: word.start()].strip(" ._-")
    return name


def _words(name: str) -> list[str]:
    return _WORD.findall(_LIGHT_CHAIN.sub("", unicodedata.normalize("NFC", name).casefold()))


def _is_known(word: str) -> bool:
    return any(_means(word, table) for table in (MODALITIES, STAINS, MARKERS))


def _means(word: str, table: dict[str, set[str]]) -> str:
    """Return what a word means: itself, without a number at its end (``EM12``), or by a Chinese word within it."""
    for name, words in table.items():
        plain = word in words or word.rstrip("0123456789") in words
        if plain or any(not each.isascii() and each in word for each in words):
            return name
    return ""


def _name_in(parts: tuple[str, ...], table: dict[str, set[str]]) -> str:
    for part in reversed(parts):
        for word in _words(part):
            if found := _means(word, table):
                return found
    return ""


def make_id(text: str) -> str:
    """Make an id of ``A-Z a-z 0-9 _ -`` from any text; empty where nothing of it can be kept."""
    plain = unicodedata.normalize("NFKD", text.translate(_LETTERS)).encode("ascii", "ignore").decode()
    return re.sub(r"-{2,}", "-", re.sub(r"[^A-Za-z0-9_-]+", "-", plain)).strip("-_")


def make_unique(wanted: str, taken: Collection[str]) -> str:
    """Append the first free number to an id that is taken.

    Parameters
    ----------
    wanted
        The id.
    taken
        Ids in use, case-folded.
    """
    name, number = wanted, 1
    while name.casefold() in taken:
        number += 1
        name = f"{wanted}-{number}"
    return name
