"""Shards of pyramids: the chunks of a square of a level in one file, in the format of Zarr's own sharding codec.

Zarr needs a millisecond for each chunk beside its compression, several times what reading and normalising it takes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import google_crc32c
import imagecodecs
import numpy as np
from numcodecs import Blosc, blosc
from zarr.codecs import BloscCodec, ZstdCodec

from nephroscale.digest_on_write import remember_digest

Chunk = Callable[[int, int], np.ndarray | None]
Corners = Sequence[tuple[int, int]]
Compressed = bytes | bytearray

Codec = Literal["zstd", "lz4"]
GROUP = 4  # chunks that a thread takes at a time


class Compressor(NamedTuple):
    """A codec as Zarr declares it, and what compresses with it."""

    declared: ZstdCodec | BloscCodec
    encode: Callable[[np.ndarray], bytes | bytearray]


CODECS: dict[Codec, Compressor] = {
    "zstd": Compressor(ZstdCodec(level=1), partial(imagecodecs.zstd_encode, level=1)),
    "lz4": Compressor(
        BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle"),
        Blosc(cname="lz4", clevel=1, shuffle=Blosc.BITSHUFFLE).encode,
    ),
}
ABSENT = 2**64 - 1


class ShardWriter:
    """Writes the shards of the levels of a pyramid, from any thread.

    Parameters
    ----------
    path
        The pyramid's folder.
    shard, chunk
        Sides of a shard and of a chunk, pixels.
    codec
        How chunks are compressed.

    References
    ----------
    Zarr v3, sharding codec 1.0: chunks in any order, then offset and length of each (uint64) and a CRC32C of these.
    """

    def __init__(self, path: Path, shard: int, chunk: int, codec: Codec) -> None:
        self.path, self.shard, self.chunk = path, shard, chunk
        self._encode = CODECS[codec].encode
        starts = range(0, shard, chunk)
        corners = list(itertools.product(starts, starts))
        self.groups = [corners[n : n + GROUP] for n in range(0, len(corners), GROUP)]
        blosc.use_threads = False  # Blosc's own threads write blocks in the order in which they end

    def compress(self, corners: Corners, chunk: Chunk, half: np.ndarray | None) -> list[Compressed]:
        """Compress and halve the chunks at one group of corners; chunks of zeros become empty.

        Parameters
        ----------
        corners
            One of `groups`.
        chunk
            Gives the chunk [c, h, w] at a corner (y, x) of the shard, cut at the edge of the level; None where there
            is none.
        half
            [c, shard / 2, shard / 2], where the shard is written at half the scale; None at the last level.
        """
        return [self._compress(chunk(y, x), None if half is None else half[:, y // 2 :, x // 2 :]) for y, x in corners]

    def write(self, level: int, row: int, column: int, chunks: Sequence[Compressed]) -> bool:
        """Write a shard, if any of its chunks is not empty; return whether it was written.

        Parameters
        ----------
        level, row, column
            Place of the shard.
        chunks
            All of its chunks, in the order of `groups`.
        """
        if not any(chunks):
            return False
        lengths = np.array([len(data) for data in chunks], np.uint64)
        index = np.stack([np.cumsum(lengths) - lengths, lengths], axis=1).astype("<u8")
        index[lengths == 0] = ABSENT
        footer = index.tobytes()
        parts = [*chunks, footer, google_crc32c.value(footer).to_bytes(4, "little")]
        file = self.path / str(level) / "c" / "0" / str(row) / str(column)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as stream:
            stream.writelines(parts)
        remember_digest(file, *parts)
        return True

    def _compress(self, part: np.ndarray | None, half: np.ndarray | None) -> Compressed:
        # Most chunks have a pixel that is not zero among few.
        if part is None or not (part[:, ::32, ::32].any() or part.any()):
            return b""
        if half is not None:
            halve(part, half)
        if part.shape[1:] != (self.chunk, self.chunk):
            part = np.pad(part, ((0, 0), *((0, self.chunk - n) for n in part.shape[1:])))
        return self._encode(np.ascontiguousarray(part))


def halve(block: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Average squares of 2 x 2 pixels, [c, h, w] to [c, ceil(h / 2), ceil(w / 2)]; an odd last line counts twice.

    Parameters
    ----------
    block
        uint8 or uint16.
    out
        At least as large as the result, which is written into its corner.
    """
    channels, height, width = block.shape
    if height % 2 or width % 2:
        block = np.pad(block, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    size = ((width + 1) // 2, (height + 1) // 2)
    halved = np.empty((channels, *size[::-1]), block.dtype) if out is None else out[:, : size[1], : size[0]]
    for plane, target in zip(block, halved, strict=True):
        cv2.resize(plane, size, dst=target, interpolation=cv2.INTER_AREA)
    return halved
