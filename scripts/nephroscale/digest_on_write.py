"""Digests of files that are taken while the files are written, so that publication does not read them again.

A writer of this package remembers the digest of the bytes that it has in memory. The digest is valid as long as the
file's size, time and inode do not change; any other file is read again.
"""

from __future__ import annotations

import os
from pathlib import Path

from blake3 import blake3

Signature = tuple[int, int, int, int]

_digests: dict[str, tuple[Signature, str]] = {}


def remember_digest(path: Path | str, *parts: bytes | bytearray | memoryview) -> None:
    """Remember the digest of a file's bytes, given in parts, once the file is closed and has its final name."""
    digest = blake3()
    for part in parts:
        digest.update(part)
    _digests[os.path.abspath(path)] = (_signature(os.stat(path)), digest.hexdigest())  # noqa: PTH100, PTH116


def pop_digest(path: Path | str, stat: os.stat_result) -> str | None:
    """Return and forget the digest of a file that has not changed since it was remembered; else None."""
    signature, digest = _digests.pop(os.path.abspath(path), (None, None))  # noqa: PTH100
    return digest if signature == _signature(stat) else None


def forget() -> None:
    """Forget every digest, so that every file is read."""
    _digests.clear()


def _signature(stat: os.stat_result) -> Signature:
    return stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_dev
