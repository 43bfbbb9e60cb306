"""Write raw files in the formats of scanners, cameras and microscopes, with the same bytes each time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import tifffile

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

TILE = 256


def write_slide(
    path: Path, picture: np.ndarray, mpp: float | None, *, vendor: str = "aperio", quality: int = 80
) -> None:
    """Write a whole slide: a tiled, JPEG-compressed, pyramidal TIFF.

    Parameters
    ----------
    path
        File to write.
    picture
        RGB, uint8 [rows, columns, 3], level 0.
    mpp
        µm per pixel to state in the file; None states none.
    vendor
        `aperio` states the scale in the image description as SVS files do; `generic` in the resolution tags.
    quality
        JPEG quality.
    """
    height, width = picture.shape[:2]
    description = ""
    if vendor == "aperio":
        description = f"Aperio Image Library, nephroscale demo\n{width}x{height} ({TILE}x{TILE}) JPEG/RGB Q={quality}"
        if mpp is not None:
            description += f"|AppMag = {round(10 / mpp)}|MPP = {mpp:.4f}"
    with tifffile.TiffWriter(path) as writer:
        level: np.ndarray = picture
        factor = 1
        while True:
            options: dict[str, Any] = {}
            if vendor == "generic" and mpp is not None:
                options = {"resolution": (1e4 / (mpp * factor),) * 2, "resolutionunit": "CENTIMETER"}
            writer.write(
                level,
                photometric="rgb",
                tile=(TILE, TILE),
                compression="jpeg",
                compressionargs={"level": quality},
                description=description if factor == 1 or vendor == "aperio" else "",
                software=False,
                metadata=None,
                subfiletype=0 if factor == 1 else 1,
                maxworkers=1,
                **options,
            )
            if max(level.shape[:2]) <= 2 * TILE:
                break
            factor *= 2
            level = cv2.resize(picture, (width // factor, height // factor), interpolation=cv2.INTER_AREA)


def write_grey(path: Path, picture: np.ndarray) -> None:
    """Write a grey picture as PNG or, by the file's name, as TIFF.

    Parameters
    ----------
    path
        File to write; `.png`, or anything else for TIFF.
    picture
        uint8 or uint16 [rows, columns].
    """
    if path.suffix == ".png":
        good, encoded = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 3])
        if not good:
            raise OSError(f"cannot encode {path.name}")
        path.write_bytes(encoded.tobytes())
    else:
        tifffile.imwrite(path, picture, photometric="minisblack", software=False, metadata=None, maxworkers=1)
