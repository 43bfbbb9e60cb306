"""Shards of pyramids: the chunks of a square of a level in one file, in the format of Zarr's own sharding codec.

Zarr needs a millisecond for each chunk beside its compression, several times what reading and normalising it takes.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

import google_crc32c
import imagecodecs
import numpy as np
from numcodecs import Blosc, blosc
from zarr.codecs import BloscCodec, ZstdCodec

from nephroscale.digest_on_write import remember_digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from pathlib import Path

Codec = Literal["zstd", "lz4"]


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
    """Writes the shards of the levels of a pyramid.

    Parameters
    ----------
    path
        The pyramid's folder.
    shard, chunk
        Sides of a shard and of a chunk, pixels.
    codec
        How chunks are compressed.
    pool
        Threads that compress; the bytes do not depend on them.

    References
    ----------
    Zarr v3, sharding codec 1.0: chunks in any order, then offset and length of each (uint64) and a CRC32C of these.
    """

    def __init__(self, path: Path, shard: int, chunk: int, codec: Codec, pool: Executor | None) -> None:
        self.path, self.shard, self.chunk = path, shard, chunk
        self._encode = CODECS[codec].encode
        self._map = map if pool is None else pool.map
        blosc.use_threads = False  # Blosc's own threads write blocks in the order in which they end

    def write(self, level: int, row: int, column: int, block: np.ndarray) -> None:
        """Write a shard: a block [c, h, w], cut at the edge of the level; chunks of zeros are left out."""
        starts = range(0, self.shard, self.chunk)
        chunks = list(self._map(lambda corner: self._compress(block, *corner), itertools.product(starts, starts)))
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

    def _compress(self, block: np.ndarray, y: int, x: int) -> bytes | bytearray:
        part = block[:, y : y + self.chunk, x : x + self.chunk]
        if not part.any():
            return b""
        chunk = np.ascontiguousarray(part)
        if part.shape[1:] != (self.chunk, self.chunk):
            chunk = np.pad(part, ((0, 0), *((0, self.chunk - n) for n in part.shape[1:])))
        return self._encode(chunk)
