"""Digests of files taken while they were written, so that publication need not read them again.

A writer of this package that has a file's bytes in its hands notes their digest here. The note holds as long as the
file's size, time and inode are those of the moment it was finished; whatever was changed, moved or written by somebody
else is read again.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nephroscale.store.digest import digest_bytes

if TYPE_CHECKING:
    from pathlib import Path

Signature = tuple[int, int, int, int]

_notes: dict[str, tuple[Signature, str]] = {}


def remember_digest(path: Path | str, data: bytes | memoryview) -> None:
    """Note the bytes that a file was just made of: called when it is closed and under its final name."""
    _notes[os.path.abspath(path)] = (_signature(os.stat(path)), digest_bytes(data))  # noqa: PTH100, PTH116


def pop_digest(path: Path | str, stat: os.stat_result) -> str | None:
    """Give the digest of a file that has not been touched since it was noted, and forget it; else None."""
    signature, digest = _notes.pop(os.path.abspath(path), (None, None))  # noqa: PTH100
    return digest if signature == _signature(stat) else None


def forget() -> None:
    """Forget every note, so that everything is read."""
    _notes.clear()


def _signature(stat: os.stat_result) -> Signature:
    return stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_dev
