"""Choose the format of an annotation by its content, and read it."""

from __future__ import annotations

import gzip
import io
import json
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree as ET  # _parse_xml rejects documents with a DTD
from xml.parsers import expat

from nephroscale.glomeruli.annotation_formats import (
    aperio,
    asap,
    coco,
    dsa,
    geojson,
    halo,
    hubmap,
    imagej,
    labelme,
    mask,
)
from nephroscale.glomeruli.annotation_formats.base import DrawnObject, UnreadableAnnotationError
from nephroscale.glomeruli.annotation_formats.foreign import foreign_json, foreign_xml

JSON_FORMATS = (geojson, coco, hubmap, labelme, dsa)
XML_FORMATS = (aperio, halo, asap)
NAMES = ", ".join(module.NAME for module in (*JSON_FORMATS, *XML_FORMATS, imagej, mask))

MOST_BYTES = 512 * 2**20  # of one file, unpacked
ROI, JSON = ".roi", (".geojson", ".json")


def read_objects(path: Path) -> list[DrawnObject]:
    """Read all objects of an annotation, in the order of the file.

    Parameters
    ----------
    path
        The file; its format is detected by content, and may be packed (zip, gzip).

    Raises
    ------
    UnreadableAnnotationError
        When the file is damaged, or of no known format.
    """
    data = Path(path).read_bytes()  # a file system error is not a fault of the annotation
    try:
        return list(_read(data))
    except (UnreadableAnnotationError, MemoryError):
        raise
    except Exception as error:  # files that people made are wrong in any way
        detail = (
            str(error)
            if isinstance(error, ValueError | expat.ExpatError | zipfile.BadZipFile)
            else type(error).__name__
        )
        raise UnreadableAnnotationError(f"it is damaged, or not as its format requires ({detail})") from error


def _read(data: bytes) -> Iterable[DrawnObject]:
    if data[:2] == b"\x1f\x8b":
        with gzip.open(io.BytesIO(data)) as packed:
            data = packed.read(MOST_BYTES)
    if data[:4] == b"PK\x03\x04":
        return _read_zip(data)
    if data[:4] == imagej.MAGIC:
        return [imagej.read(data)]
    if data.startswith(mask.MAGIC):
        return mask.read(data)
    if data[:3] == b"\xff\xd8\xff":
        raise UnreadableAnnotationError("it is a JPEG, in which the values of a mask are changed; save it as PNG")
    text = _to_text(data)
    if not text:
        raise UnreadableAnnotationError("the file is empty")
    if text[:1] == "<":
        return _read_xml(text)
    if text[:1] in {"{", "["}:
        return _read_json(text)
    raise UnreadableAnnotationError(f"its format is unknown; known are {NAMES}")


def _to_text(data: bytes) -> str:
    """Decode text: as UTF-8, UTF-16 or UTF-32, or in the encoding that an XML declaration names."""
    encoding = json.detect_encoding(data)  # by the mark, or where its first characters have zeros
    try:
        return data.decode("utf-8-sig" if encoding == "utf-8" else encoding).strip()
    except UnicodeDecodeError as fault:
        declared = re.match(rb"\s*<\?xml[^>]*encoding=[\"']([\w.-]+)", data)
        if declared is not None:
            return data.decode(declared[1].decode()).strip()
        if data.lstrip()[:1] in {b"{", b"[", b"<"}:
            raise UnreadableAnnotationError("its text is not UTF-8; save it in this encoding") from fault
        return data[:4].decode("latin-1")  # of no format that is text


def _read_json(text: str) -> Iterable[DrawnObject]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError:
        lines = text.splitlines()
        if len(lines) < 2 or not lines[0].endswith("}"):
            raise
        content = [json.loads(line) for line in lines if line.strip()]  # one object a line
    if content in ([], {}):
        return
    for module in JSON_FORMATS:
        if module.matches(content):
            yield from module.read(content)
            return
    raise UnreadableAnnotationError(foreign_json(content) or f"its JSON is of no known format; known are {NAMES}")


def _read_xml(text: str) -> Iterable[DrawnObject]:
    root = _parse_xml(re.sub(r"^<\?xml[^>]*\?>", "", text))  # the text is decoded, whatever it declares
    for module in XML_FORMATS:
        if module.matches(root):
            yield from module.read(root)
            return
    begins = f"its XML begins with <{root.tag[:40]}>, which is of no known format; known are {NAMES}"
    raise UnreadableAnnotationError(foreign_xml(root) or begins)


def _parse_xml(text: str) -> ET.Element:
    """Parse XML without a document type, as expanding and external entities require one."""

    def refuse(*_: object) -> None:
        raise UnreadableAnnotationError("it declares a document type (DTD), which is not allowed")

    guard = expat.ParserCreate()
    guard.StartDoctypeDeclHandler = refuse
    guard.Parse(text.encode(), True)
    return ET.fromstring(text)  # noqa: S314


def _read_zip(data: bytes) -> Iterable[DrawnObject]:
    """Read the ROIs of a zip in the order of their names, or the one GeoJSON in it; copies of macOS are left out."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = [info for info in archive.infolist() if not _is_mac_copy(info.filename)]
        if sum(info.file_size for info in infos) > MOST_BYTES:
            raise UnreadableAnnotationError(f"it is larger than {MOST_BYTES >> 20} MB when unpacked")
        rois = sorted((info for info in infos if _suffix(info) == ROI), key=lambda info: info.filename)
        if rois:
            return [imagej.read(archive.read(info), PurePosixPath(info.filename).stem) for info in rois]
        texts = [info for info in infos if _suffix(info) in JSON]
        if len(texts) == 1:
            return _read_json(_to_text(archive.read(texts[0])))
    raise UnreadableAnnotationError("the zip has neither ROIs of ImageJ nor one GeoJSON")


def _is_mac_copy(name: str) -> bool:
    path = PurePosixPath(name)
    return path.parts[:1] == ("__MACOSX",) or path.name.startswith("._")


def _suffix(info: zipfile.ZipInfo) -> str:
    return PurePosixPath(info.filename).suffix.casefold()
