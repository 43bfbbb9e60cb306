"""Write small ND2 files of version 3, chunk by chunk."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np

LOOPS = {
    "T": (1, {"uiCount": 0, "dStart": 0.0, "dPeriod": 1.0, "dDuration": 1.0}),
    "P": (2, {"Points": {}}),
    "Z": (4, {"uiCount": 0, "dZLow": 0.0, "dZHigh": 1.0, "dZStep": 1.0}),
}


def _record(name: str, value: Any) -> bytes:
    """Encode a value with its name; the first letters of the name give its type."""
    head = (name + "\0").encode("utf-16-le")
    head = bytes([len(head) // 2]) + head
    if isinstance(value, dict):
        parts = [_record(each, inner) for each, inner in value.items()]
        length = 1 + len(head) + 12 + sum(map(len, parts))
        return b"\x0b" + head + struct.pack("<IQ", len(parts), length) + b"".join(parts) + bytes(8 * len(parts))
    if isinstance(value, bool):
        return b"\x01" + head + struct.pack("<B", value)
    if isinstance(value, float):
        return b"\x06" + head + struct.pack("<d", value)
    if isinstance(value, str):
        return b"\x08" + head + (value + "\0").encode("utf-16-le")
    return b"\x03" + head + struct.pack("<I", value)


def _loop(axes: Sequence[tuple[str, int]]) -> dict[str, Any]:
    (axis, count), *rest = axes
    kind, parameters = LOOPS[axis]
    points = {"Points": {f"i{n:010}": {"dPosX": float(n)} for n in range(count)}}
    loop = {"eType": kind, "uLoopPars": {**parameters, **(points if axis == "P" else {"uiCount": count})}}
    return {**loop, "ppNextLevelEx": {"i0000000000": _loop(rest)}} if rest else loop


def write_nd2(
    path: Path,
    frames: np.ndarray,
    *,
    axes: Sequence[tuple[str, int]] = (),
    um: float | None = 0.5,
    channels: Sequence[str] = ("FITC",),
    colours: int = 1,
    without: Sequence[int] = (),
    row_bytes: int = 0,
    compression: int = 2,
    exposures_ms: Sequence[float] = (),
    **attributes: int,
) -> Path:
    """Write frames [n, h, w, c].

    Parameters
    ----------
    path
        To write to.
    frames
        In the order of the experiment.
    axes
        Its loops and their lengths, outermost first: T, P (positions) and Z.
    um
        µm per pixel; None for an image that is not calibrated.
    channels, colours
        Names of the channels, and components of each.
    without
        Frames that were not recorded.
    row_bytes
        Bytes from row to row, where rows are padded.
    compression
        0 lossless, 1 lossy, 2 none.
    exposures_ms
        Of the samples, which the channels refer to in their order.
    **attributes
        More of the image, or others.
    """
    _, height, width, components = frames.shape
    bits, row = 8 * frames.itemsize, width * components * frames.itemsize
    image = {"uiWidth": width, "uiWidthBytes": row_bytes or row, "uiHeight": height, "uiComp": components}
    image |= {"uiBpcInMemory": bits, "uiBpcSignificant": bits, "uiSequenceCount": len(frames)}
    image |= {"eCompression": compression, **attributes}
    planes = {f"a{n}": {"uiCompCount": colours, "sDescription": name} for n, name in enumerate(channels)}
    metadata = {"bCalibrated": um is not None, "dCalibration": um or 0.0}
    for number, plane in enumerate(planes.values() if exposures_ms else ()):
        plane["uiSampleIndex"] = number
    metadata |= {"sPicturePlanes": {"uiCount": len(channels), "sPlaneNew": planes}}
    if exposures_ms:
        samples = {f"a{n}": {"dExposureTime": float(one)} for n, one in enumerate(exposures_ms)}
        metadata["sPicturePlanes"] |= {"sSampleSetting": samples}
    chunks = {
        "ImageAttributesLV": _record("SLxImageAttributes", image),
        "ImageMetadataSeqLV|0": _record("SLxPictureMetadata", metadata),
    }
    if axes:
        chunks["ImageMetadataLV"] = _record("SLxExperiment", _loop(axes))
    for number, frame in enumerate(frames):
        rows = [each.tobytes().ljust(row_bytes, b"\xff") for each in frame]
        data = zlib.compress(b"".join(rows)) if compression == 0 else b"".join(rows)
        if number not in without:
            chunks[f"ImageDataSeq|{number}"] = bytes(8) + data
    content = _chunk("ND2 FILE SIGNATURE CHUNK NAME01", b"Ver3.0".ljust(64, b"\0"), 32)
    places = b""
    for name, data in chunks.items():
        places += f"{name}!".encode() + struct.pack("<QQ", len(content), len(data))
        content += _chunk(name, data, 4072)
    end = b"ND2 CHUNK MAP SIGNATURE 0000001!" + struct.pack("<Q", len(content))
    path.write_bytes(content + _chunk("ND2 FILEMAP SIGNATURE NAME 0001", places + end, 32))
    return path


def _chunk(name: str, data: bytes, length: int) -> bytes:
    return struct.pack("<IIQ", 0x0ABECEDA, length, len(data)) + f"{name}!".encode().ljust(length, b"\0") + data
