"""Write OME-Zarr 0.5 pyramids in one pass, each shard once."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from nephroscale.arrays import digesting_store
from nephroscale.slides.shard_tree import ChunkReader, ShardTree
from nephroscale.slides.shards import CODECS, Codec, ShardWriter
from nephroscale.slides.tile_status import TileStatus

SHARD_PX = 2048
SMALLEST_PX = 128
# Six halvings keep the smallest tile (64 px) a whole pixel, so that no pixel of any level mixes two tiles.
LEVELS = 7
STATUS_COLOURS = {
    TileStatus.BACKGROUND: [0, 0, 0, 0],
    TileStatus.TISSUE: [64, 160, 64, 96],
    TileStatus.UNREADABLE: [208, 32, 32, 160],
}


def write_pyramid(
    path: Path,
    shape: tuple[int, int, int],
    dtype: np.dtype,
    source: ChunkReader,
    *,
    tile_px: int,
    mpp: float | None,
    attributes: Mapping[str, object],
    colours: Mapping[str, str],
    codec: Codec = "zstd",
    pool: Executor | None = None,
) -> int:
    """Write the levels of a pyramid and its metadata.

    Shards are made in the order of quadrants, so that each coarser one follows its four parts, and memory holds one
    shard of each level whatever the size of the slide. Empty shards are not written.

    Parameters
    ----------
    path
        Folder to create.
    shape
        Channels, height and width of level 0.
    dtype
        uint8 or uint16.
    source
        The pixels of level 0, chunk by chunk.
    tile_px
        Side of an inner chunk, pixels.
    mpp
        µm per pixel of level 0; None where unknown.
    attributes
        JSON values, stored under `nephroscale`.
    colours
        Name of each channel to its hexadecimal colour, for viewers.
    codec
        How pixels are compressed.
    pool
        Threads that read and compress chunks; the bytes do not depend on them.

    Returns
    -------
    int
        Number of levels.

    References
    ----------
    Moore et al, OME-Zarr: a cloud-optimized bioimaging file format, Histochem Cell Biol 160:223 (2023); NGFF 0.5.
    """
    shapes = list_shapes(*shape)
    channels, levels = shape[0], len(shapes)
    shard = tile_px * max(2, SHARD_PX // tile_px // 2 * 2)
    group = zarr.open_group(digesting_store(path), mode="w-", zarr_format=3)
    group.attrs.update(json.loads(json.dumps(_image_metadata(levels, mpp, dtype, colours, attributes), sort_keys=True)))
    for number, level in enumerate(shapes):
        group.create_array(
            str(number),
            shape=level,
            dtype=dtype,
            chunks=(channels, tile_px, tile_px),
            shards=(channels, shard, shard),
            compressors=[CODECS[codec].declared],
            filters=None,
            fill_value=0,
            dimension_names=["c", "y", "x"],
            config={"write_empty_chunks": False},
        )
    ShardTree(shapes, dtype, source, ShardWriter(path, shard, tile_px, codec), pool).write()
    return levels


def write_coordinates(path: Path, attributes: Mapping[str, object]) -> None:
    """Write the group of a pyramid whose pixels are not stored, with `attributes` under `nephroscale`."""
    group = zarr.open_group(digesting_store(path), mode="a", zarr_format=3)
    group.attrs.update(json.loads(json.dumps({"nephroscale": dict(attributes)}, sort_keys=True)))


def count_levels(height: int, width: int) -> int:
    """Count the levels of a pyramid: until the longer side is 128 px or less, at most seven."""
    return min(LEVELS, 1 + max(0, math.ceil(math.log2(max(height, width) / SMALLEST_PX))))


def list_shapes(channels: int, height: int, width: int) -> list[tuple[int, int, int]]:
    """List channels, height and width of the levels of a pyramid."""
    return [(channels, -(-height // 2**level), -(-width // 2**level)) for level in range(count_levels(height, width))]


def write_tissue_label(path: Path, status: np.ndarray, *, tile_px: int, mpp: float | None, levels: int) -> None:
    """Write the label image of tile status into an existing pyramid.

    Parameters
    ----------
    path
        The pyramid's folder.
    status
        uint8 [rows, columns], values of :class:`TileStatus`.
    tile_px
        Side of a tile in pixels of level 0.
    mpp
        µm per pixel of level 0; None where unknown.
    levels
        Levels of the pyramid; NGFF requires as many of the label. Each halving takes the highest value of four.
    """
    labels = zarr.open_group(digesting_store(path / "labels"), mode="w-", zarr_format=3)
    listed: Any = {"labels": ["tissue"], "version": "0.5"}
    labels.attrs.update({"ome": listed})
    group = labels.create_group("tissue")
    label = {
        "version": "0.5",
        "colors": [{"label-value": int(one), "rgba": colour} for one, colour in STATUS_COLOURS.items()],
        "properties": [{"class": one.name.lower(), "label-value": int(one)} for one in TileStatus],
        "source": {"image": "../../"},
    }
    multiscale = _multiscale("tissue", "yx", levels, tile_px * (mpp or 1.0), mpp)
    ome: Any = {"image-label": label, "multiscales": [multiscale], "version": "0.5"}
    group.attrs.update({"ome": ome})
    for level in range(levels):
        array = group.create_array(
            str(level),
            shape=status.shape,
            dtype=np.uint8,
            chunks=status.shape,
            compressors=[ZstdCodec(level=1)],
            filters=None,
            fill_value=0,
            dimension_names=["y", "x"],
            config={"write_empty_chunks": False},
        )
        array[...] = status
        rows, columns = status.shape
        padded = np.pad(status, ((0, rows % 2), (0, columns % 2)))
        status = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2).max((1, 3))


def _multiscale(name: str, axes: str, levels: int, unit: float, mpp: float | None) -> dict[str, object]:
    kinds = {
        "c": {"type": "channel"},
        **dict.fromkeys("yx", {"type": "space"} | ({"unit": "micrometer"} if mpp else {})),
    }
    scales = [[1.0 if axis == "c" else round(unit * 2**level, 9) for axis in axes] for level in range(levels)]
    # Pixels are averaged, so the centre of a coarser one is shifted.
    shifts = [[0.0 if axis == "c" else round(unit * (2**level - 1) / 2, 9) for axis in axes] for level in range(levels)]
    return {
        "name": name,
        "axes": [{"name": axis, **kinds[axis]} for axis in axes],
        "datasets": [
            {
                "path": str(level),
                "coordinateTransformations": [{"type": "scale", "scale": scales[level]}]
                + ([{"type": "translation", "translation": shifts[level]}] if level else []),
            }
            for level in range(levels)
        ],
        "type": "mean" if axes == "cyx" else "max",
    }


def _image_metadata(
    levels: int, mpp: float | None, dtype: np.dtype, colours: Mapping[str, str], attributes: Mapping[str, object]
) -> dict[str, object]:
    top = int(np.iinfo(dtype).max)
    window = {"start": 0, "min": 0, "end": top, "max": top}
    return {
        "ome": {
            "version": "0.5",
            "multiscales": [_multiscale("tiles", "cyx", levels, mpp or 1.0, mpp)],
            "omero": {
                "channels": [
                    {"active": True, "color": colour, "label": name, "window": window}
                    for name, colour in colours.items()
                ],
                "rdefs": {"model": "color"},
            },
        },
        "nephroscale": dict(attributes),
    }
