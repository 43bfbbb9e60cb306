"""Write small OIF and OIB files of Olympus."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import tifffile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np

SECTOR = 512
LEAST = 4096  # smaller streams would need a second table of sectors
END, FREE, TABLE = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD


def _text(sections: Mapping[str, Mapping[str, str]]) -> bytes:
    lines = []
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{key}={value}" for key, value in values.items())]
    return ("\ufeff" + "\r\n".join(lines)).encode("utf-16-le")


def members(
    planes: Mapping[str, np.ndarray],
    *,
    order: str = "XYC",
    um: tuple[str, str] | None = ("0.5", "0.5"),
    dyes: Sequence[str] = ("FITC",),
    plane_um: str = "",
    compression: str | None = None,
) -> dict[str, bytes]:
    """The files of an image.

    Parameters
    ----------
    planes
        Pixels [h, w] by the name's end, as `C001Z002`.
    order
        Of its axes.
    um
        µm per pixel along x and y, as text; None for an image without.
    dyes
        Of the channels.
    plane_um
        µm per pixel in the settings of each plane.
    compression
        Of the planes.

    Returns
    -------
    dict
        The main settings (under an empty name), planes, and settings of planes, by name.
    """
    values = ("Width", "Height")
    scale = {f"{side}ConvertValue": each for side, each in zip(values, um or (), strict=False)}
    units = {f"{side}Unit": '"um"' for side in values}
    main = {"Axis Parameter Common": {"AxisOrder": f'"{order}"'}, "Reference Image Parameter": {**scale, **units}}
    main |= {f"Channel {n} Parameters": {"CH Name": f'"CH{n}"', "DyeName": f'"{dye}"'} for n, dye in enumerate(dyes, 1)}
    files = {"": _text(main)}
    for end, pixels in planes.items():
        plane = io.BytesIO()
        tifffile.imwrite(plane, pixels, compression=compression, metadata=None)
        files[f"s_{end}.tif"] = plane.getvalue()
        if plane_um:
            own = {f"{side}ConvertValue": plane_um for side in values}
            files[f"s_{end}.pty"] = _text({"Image Parameters": {**own, **units}})
    return files


def write_oif(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write main settings, and the folder beside them."""
    folder = path.with_name(f"{path.name}.files")
    folder.mkdir()
    for name, content in files.items():
        (folder / name if name else path).write_bytes(content)
    return path


def write_oib(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write the same files in one compound file."""
    keys = {name: f"Stream{n:05}" for n, name in enumerate(files)}
    info = {"Version": "2.0.0.0", "Compression": "None", "MainFileName": keys[""], "Storage00001": "a.oif.files"}
    info |= {key: f"Storage00001/{name}" if name else "a.oif" for name, key in keys.items()}
    inside = {keys[name]: content for name, content in files.items() if name}
    return write_compound(path, {"OibInfo.txt": _text({"OibSaveInfo": info}), keys[""]: files[""]}, inside)


def write_compound(path: Path, streams: Mapping[str, bytes], inside: Mapping[str, bytes]) -> Path:
    """Write a compound file (MS-CFB, version 3): streams at its root, and those in its storage `Storage00001`."""
    contents = [_padded(content) for content in (*streams.values(), *inside.values())]
    names = ["Root Entry", "Storage00001", *streams, *inside]
    entries = -(-len(names) // 4)
    sectors = sum(len(content) // SECTOR for content in contents)
    tables = -(-(sectors + entries) // (SECTOR // 4 - 1))
    chain = [TABLE] * tables + [*range(tables + 1, tables + entries), END]
    starts = []
    for content in contents:
        starts.append(len(chain))
        chain += [*range(len(chain) + 1, len(chain) + len(content) // SECTOR), END]
    chain += [FREE] * (tables * SECTOR // 4 - len(chain))
    directory = _entry("Root Entry", 5, child=1)
    directory += _entry("Storage00001", 1, right=2, child=2 + len(streams) if inside else FREE)
    for n, (name, start, content) in enumerate(zip(names[2:], starts, contents, strict=True), 2):
        last = n in {1 + len(streams), len(names) - 1}
        directory += _entry(name, 2, right=FREE if last else n + 1, start=start, size=len(content))
    directory = directory.ljust(entries * SECTOR, b"\0")
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    head += struct.pack("<5H6x", 0x3E, 3, 0xFFFE, 9, 6)
    head += struct.pack("<9I", 0, tables, tables, 0, LEAST, END, 0, END, 0)
    head += struct.pack("<109I", *range(tables), *[FREE] * (109 - tables))
    table = struct.pack(f"<{len(chain)}I", *chain)
    path.write_bytes(head + table + directory + b"".join(contents))
    return path


def _padded(content: bytes) -> bytes:
    """At least the least length, in whole sectors: lines of settings, or bytes after a TIFF."""
    size = max(LEAST, -(-len(content) // SECTOR) * SECTOR)
    return content + "\n".encode("utf-16-le") * ((size - len(content)) // 2) + bytes((size - len(content)) % 2)


def _entry(name: str, kind: int, *, right: int = FREE, child: int = FREE, start: int = 0, size: int = 0) -> bytes:
    text = (name + "\0").encode("utf-16-le")
    start = END if kind == 5 else start
    links = struct.pack("<HBBIII", len(text), kind, 1, FREE, right, child)
    return text.ljust(64, b"\0") + links + bytes(36) + struct.pack("<IQ", start, size)
