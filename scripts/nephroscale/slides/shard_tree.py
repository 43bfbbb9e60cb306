"""The order in which the shards of a pyramid are made: each coarser one from its four parts, by several threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from threading import Condition
from typing import Protocol

import numpy as np

from nephroscale.slides.shards import Compressed, ShardWriter

AHEAD = 3  # shards of level 0 that are in work at a time, so that no thread waits for the last chunk of a shard


class ChunkReader(Protocol):
    """The pixels of level 0."""

    def __call__(self, y: int, x: int, height: int, width: int) -> np.ndarray | None:
        """Read the pixels [c, height, width] of a chunk, cut at the edge; None where it is empty.

        Called once for each chunk, from several threads.
        """


@dataclass(eq=False)
class _Shard:
    """A shard in work.

    Attributes
    ----------
    awaited
        Finer shards, then groups of its own chunks, that are not done.
    found
        Whether one of the finer shards has pixels.
    block
        Its pixels, [c, shard, shard]; None at level 0, and before a finer shard is begun.
    chunks
        The compressed chunks, by group.
    """

    level: int
    row: int
    column: int
    parent: _Shard | None
    awaited: int = 0
    found: bool = False
    block: np.ndarray | None = None
    chunks: dict[int, list[Compressed]] = field(default_factory=dict)


class ShardTree:
    """Makes the shards of all levels.

    Shards are begun in the order of quadrants. A coarser one is begun by the thread that ends the last of its parts, so
    memory holds few shards of each level, whatever the size of the slide, and no thread waits for another.

    Parameters
    ----------
    shapes
        Channels, height and width of each level.
    dtype
        Of the pixels.
    source
        The pixels of level 0, chunk by chunk.
    shards
        Compresses chunks and writes shards.
    pool
        Threads that do so; the bytes do not depend on them. None for the calling thread.
    """

    def __init__(
        self,
        shapes: Sequence[tuple[int, int, int]],
        dtype: np.dtype,
        source: ChunkReader,
        shards: ShardWriter,
        pool: Executor | None,
    ) -> None:
        self._shapes, self._dtype, self._source, self._shards, self._pool = shapes, dtype, source, shards, pool
        self._changed = Condition()
        self._open = 0  # shards of level 0
        self._tasks = 0
        self._faults: list[BaseException] = []

    def write(self) -> None:
        """Write all shards; raises what reading or writing raised."""
        top = len(self._shapes) - 1
        _, height, width = self._shapes[top]
        for row in range(-(-height // self._shards.shard)):
            for column in range(-(-width // self._shards.shard)):
                for leaf in self._leaves(_Shard(top, row, column, None)):
                    with self._changed:
                        self._changed.wait_for(lambda: self._open < AHEAD or self._faults)
                        self._open += 1
                    self._begin(leaf)
        with self._changed:
            self._changed.wait_for(lambda: not self._tasks)
        if self._faults:
            raise self._faults[0]

    def _leaves(self, shard: _Shard) -> Iterator[_Shard]:
        """List the shards of level 0 under a shard, by quadrants."""
        if not shard.level:
            yield shard
            return
        level, (_, height, width) = shard.level - 1, self._shapes[shard.level - 1]
        places = [(2 * shard.row + down, 2 * shard.column + right) for down in (0, 1) for right in (0, 1)]
        inside = [
            place
            for place in places
            if max(place[0] * self._shards.shard - height, place[1] * self._shards.shard - width) < 0
        ]
        shard.awaited = len(inside)
        for place in inside:
            yield from self._leaves(_Shard(level, *place, shard))

    def _begin(self, shard: _Shard) -> None:
        """Compress the chunks of a shard whose pixels are there."""
        half, parent = None, shard.parent
        if parent is not None:
            middle = self._shards.shard // 2
            with self._changed:
                if parent.block is None:
                    channels = self._shapes[parent.level][0]
                    parent.block = np.zeros((channels, 2 * middle, 2 * middle), self._dtype)
            down, right = shard.row % 2 * middle, shard.column % 2 * middle
            half = parent.block[:, down : down + middle, right : right + middle]
        shard.awaited = len(self._shards.groups)
        for number in range(len(self._shards.groups)):
            self._call(self._compress, shard, number, half)

    def _compress(self, shard: _Shard, number: int, half: np.ndarray | None) -> None:
        """Compress a group of chunks; if it is the last one, write the shard, and begin the coarser one."""
        chunks = self._shards.compress(self._shards.groups[number], partial(self._chunk, shard), half)
        with self._changed:
            shard.chunks[number] = chunks
            shard.awaited -= 1
            if shard.awaited:
                return
        shard.block = None
        every = [chunk for number in range(len(shard.chunks)) for chunk in shard.chunks.pop(number)]
        self._end(shard, self._shards.write(shard.level, shard.row, shard.column, every))

    def _end(self, shard: _Shard, written: bool) -> None:
        """Begin the coarser shard, if this was the last of its parts; without any pixels it ends at once."""
        with self._changed:
            if not shard.level:
                self._open -= 1
                self._changed.notify_all()
            parent = shard.parent
            if parent is None:
                return
            parent.found |= written
            parent.awaited -= 1
            if parent.awaited:
                return
        if parent.found:
            self._begin(parent)
        else:
            self._end(parent, False)

    def _chunk(self, shard: _Shard, y: int, x: int) -> np.ndarray | None:
        """Give the pixels of a chunk at a corner of a shard."""
        _, high, wide = self._shapes[shard.level]
        top, left, side = shard.row * self._shards.shard, shard.column * self._shards.shard, self._shards.chunk
        height, width = min(side, high - top - y), min(side, wide - left - x)
        if height <= 0 or width <= 0:
            return None
        if not shard.level:
            return self._source(top + y, left + x, height, width)
        return None if shard.block is None else shard.block[:, y : y + height, x : x + width]

    def _call(self, task: Callable[..., None], *arguments: object) -> None:
        """Call a function, by a thread of the pool if there is one; after a fault, nothing is called."""
        if self._pool is None:
            task(*arguments)
            return
        with self._changed:
            self._tasks += 1
        self._pool.submit(self._work, task, *arguments)

    def _work(self, task: Callable[..., None], *arguments: object) -> None:
        try:
            if not self._faults:
                task(*arguments)
        except BaseException as fault:
            self._faults.append(fault)
        finally:
            with self._changed:
                self._tasks -= 1
                self._changed.notify_all()
