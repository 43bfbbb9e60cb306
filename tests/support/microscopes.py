"""Write small CZI and LIF files, byte by byte."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import imagecodecs
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

PIXEL_TYPES = {
    ("uint8", 1): 0,
    ("uint16", 1): 1,
    ("float32", 1): 2,
    ("uint8", 3): 3,
    ("uint16", 3): 4,
}  # of type and samples
RGB_24, BGR_24 = (bytes.fromhex(f"24c3dd6f034efe4bb1853d77768dc9{end}") for end in ("0d", "0c"))


@dataclass
class Tile:
    """Pixels [h, w] or RGB [h, w, 3] at a place of a CZI.

    `at` holds the other axes, as C, Z, S and M. A reduced copy covers `reduced` times as many pixels on each side.
    """

    pixels: np.ndarray
    x: int = 0
    y: int = 0
    at: dict[str, int] = field(default_factory=dict)
    compression: int = 0
    reduced: int = 1
    part: int = 0


def _segment(name: bytes, content: bytes) -> bytes:
    content += bytes(-len(content) % 32)
    return struct.pack("<16sqq", name, len(content), len(content)) + content


def _entry(tile: Tile, position: int) -> bytes:
    height, width = tile.pixels.shape[:2]
    axes = [("X", tile.x, width * tile.reduced, width), ("Y", tile.y, height * tile.reduced, height)]
    axes += [(name, start, 1, 0) for name, start in tile.at.items()]
    kind = PIXEL_TYPES[tile.pixels.dtype.name, 1 if tile.pixels.ndim == 2 else 3]
    entry = struct.pack("<2siqiiBB4si", b"DV", kind, position, tile.part, tile.compression, 0, 0, b"", len(axes))
    return entry + b"".join(struct.pack("<4siifi", name.encode(), *where[:2], 0.0, where[2]) for name, *where in axes)


def _encoded(tile: Tile) -> bytes:
    pixels = tile.pixels
    if tile.compression == 4:
        data = imagecodecs.jpegxr_encode(pixels, level=1.0)
        # Zeiss declares colours as BGR; the code of the pixels is the same.
        return data.replace(RGB_24, BGR_24, 1)
    raw = np.ascontiguousarray(pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    if tile.compression == 5:
        return imagecodecs.zstd_encode(raw.tobytes())
    if tile.compression == 6:  # low bytes, then high bytes
        apart = raw.reshape(-1).view(np.uint8).reshape(-1, raw.itemsize).T
        return bytes([3, 1, int(raw.itemsize == 2)]) + imagecodecs.zstd_encode(apart.tobytes())
    return raw.tobytes()


def write_czi(
    path: Path,
    tiles: list[Tile],
    *,
    um: tuple[float, float] | None = (0.5, 0.5),
    channels: tuple[str, ...] = (),
    ns: tuple[int, ...] = (),
) -> Path:
    """Write a CZI: the tiles, their directory, names and exposures (`ns`) of channels, and µm per pixel."""
    exposures = [f"<ExposureTime>{ns[n]}</ExposureTime>" if n < len(ns) else "" for n in range(len(channels))]
    names = "".join(
        f'<Channel Id="Channel:{n}" Name="{name}">{exposures[n]}</Channel>' for n, name in enumerate(channels)
    )
    sides = zip("XY", um or (), strict=False)
    scale = "".join(f'<Distance Id="{axis}"><Value>{value * 1e-6!r}</Value></Distance>' for axis, value in sides)
    xml = (
        "<ImageDocument><Metadata><Information><Image><Dimensions>"
        f"<Channels>{names}</Channels></Dimensions></Image></Information>"
        f"<Scaling><Items>{scale}</Items></Scaling></Metadata></ImageDocument>"
    ).encode()
    content = bytes(32 + 512)  # the header, written last
    entries = []
    for tile in tiles:
        entry, data = _entry(tile, len(content)), _encoded(tile)
        entries.append(entry)
        head = struct.pack("<iiq", 0, 0, len(data)) + entry
        content += _segment(b"ZISRAWSUBBLOCK", head.ljust(256, b"\0") + data)
    metadata = len(content)
    content += _segment(b"ZISRAWMETADATA", struct.pack("<ii", len(xml), 0).ljust(256, b"\0") + xml)
    directory = len(content)
    content += _segment(b"ZISRAWDIRECTORY", struct.pack("<i", len(entries)).ljust(128, b"\0") + b"".join(entries))
    guid = bytes(range(16))
    header = struct.pack("<iiii16s16siqqiq", 1, 0, 0, 0, guid, guid, 0, directory, metadata, 0, 0)
    path.write_bytes(_segment(b"ZISRAWFILE", header.ljust(512, b"\0")) + content[544:])
    return path


@dataclass
class LifImage:
    """Pixels of a LIF, whose `axes` are Leica's numbers, slowest first: 1 X, 2 Y, 3 Z, 4 T, and 0 for the channel."""

    pixels: np.ndarray
    axes: tuple[int, ...] = (2, 1)
    um: tuple[float, float] = (0.5, 0.5)
    channels: tuple[str, ...] = ("Green",)
    bits: int = 0
    more: str = ""
    attached: str = ""


def write_lif(path: Path, images: list[LifImage]) -> Path:
    """Write a LIF of version 2."""
    elements, blocks = "", b""
    for number, image in enumerate(images):
        steps = dict(zip(image.axes, image.pixels.strides, strict=True))
        counts = dict(zip(image.axes, image.pixels.shape, strict=True))
        lengths = {1: image.um[0] * (counts[1] - 1) * 1e-6, 2: image.um[1] * (counts.get(2, 1) - 1) * 1e-6}
        bits = image.bits or 8 * image.pixels.itemsize
        channels = "".join(
            f'<ChannelDescription DataType="{int(image.pixels.dtype.kind == "f")}" ChannelTag="0" Resolution="{bits}" '
            f'NameOfMeasuredQuantity="" Min="0" Max="1" Unit="" LUTName="{name}" IsLUTInverted="0" '
            f'BytesInc="{n * steps.get(0, 0)}" BitInc="0">{image.more}</ChannelDescription>'
            for n, name in enumerate(image.channels)
        )
        axes = "".join(
            f'<DimensionDescription DimID="{axis}" NumberOfElements="{counts[axis]}" Origin="0" '
            f'Length="{lengths.get(axis, 1.0)}" Unit="m" BitInc="0" BytesInc="{steps[axis]}"/>'
            for axis in reversed(image.axes)
            if axis
        )
        elements += (
            f'<Element Name="image {number}" UniqueID="{number}"><Data><Image><ImageDescription>'
            f"<Channels>{channels}</Channels><Dimensions>{axes}</Dimensions></ImageDescription>{image.attached}</Image></Data>"
            f'<Memory Size="{image.pixels.nbytes}" MemoryBlockID="MemBlock_{number}"/></Element>'
        )
        name = f"MemBlock_{number}".encode("utf-16-le")
        head = struct.pack("<BQBI", 0x2A, image.pixels.nbytes, 0x2A, len(name) // 2) + name
        blocks += struct.pack("<II", 0x70, len(head)) + head + image.pixels.tobytes()
    root = f'<Element Name="all"><Children>{elements}</Children></Element>'
    xml = f'<LMSDataContainerHeader Version="2">{root}</LMSDataContainerHeader>'.encode("utf-16-le")
    head = struct.pack("<BI", 0x2A, len(xml) // 2) + xml
    path.write_bytes(struct.pack("<II", 0x70, len(head)) + head + blocks)
    return path
