"""BLAKE3 digests of files, directories and JSON values."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple

from blake3 import blake3

from nephroscale.json_text import canonical_json

_CHUNK = 1 << 22


class FileEntry(NamedTuple):
    """One file of an object: path inside the object ('' for a file object), bytes, digest, modification time."""

    path: str
    size: int
    digest: str
    mtime_ns: int


def digest_bytes(data: bytes | memoryview) -> str:
    """BLAKE3 of bytes, as 64 hexadecimal digits."""
    return blake3(data).hexdigest()


def digest_json(value: object) -> str:
    """BLAKE3 of a JSON value in canonical form."""
    return digest_bytes(canonical_json(value))


def digest_file(path: Path | str) -> str:
    """BLAKE3 of a file's bytes."""
    hasher = blake3()
    with open(path, "rb", buffering=0) as stream:  # noqa: PTH123  (done for every file of a store)
        while block := stream.read(_CHUNK):
            hasher.update(block)
    return hasher.hexdigest()


def copy_digested(source: IO[bytes], target: Path) -> str:
    """Copy a stream to a new file, and return the BLAKE3 of its bytes."""
    hasher = blake3()
    with target.open("xb") as out:
        while block := source.read(_CHUNK):
            hasher.update(block)
            out.write(block)
    return hasher.hexdigest()


def list_files(path: Path | str) -> list[tuple[str, os.stat_result]]:
    """List the files of an object in the order of its digest: ('', stat) for a file, else sorted relative paths.

    Links inside an object are not followed and not allowed.
    """
    top = os.lstat(path)
    if not stat.S_ISDIR(top.st_mode) and not (stat.S_ISLNK(top.st_mode) and os.path.isdir(path)):  # noqa: PTH112
        return [("", top)]
    found: list[tuple[str, os.stat_result]] = []
    pending = [(str(path), "")]
    while pending:
        folder, prefix = pending.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                name = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    pending.append((entry.path, name + "/"))
                else:
                    found.append((name, entry.stat(follow_symlinks=False)))
    return sorted(found, key=lambda item: item[0])


def digest_tree(
    path: Path | str, known: Callable[[str, os.stat_result], str | None] | None = None
) -> tuple[str, str, list[FileEntry]]:
    """Digest an object.

    Parameters
    ----------
    path
        A file or a directory.
    known
        Returns the digest of a file (given its path and state) that need not be read, or None.

    Returns
    -------
    digest
        Of a file: BLAKE3 of its bytes. Of a directory: BLAKE3 of its sorted relative paths and their digests.
    kind
        ``file`` or ``directory``.
    entries
        Every file, in order.
    """
    top, entries = os.fspath(path), []
    for name, state in list_files(path):
        file = f"{top}/{name}" if name else top
        digest = (known(file, state) if known else None) or digest_file(file)
        entries.append(FileEntry(name, state.st_size, digest, state.st_mtime_ns))
    if len(entries) == 1 and entries[0].path == "":
        return entries[0].digest, "file", entries
    return digest_entries(entries), "directory", entries


def digest_entries(entries: list[FileEntry]) -> str:
    """Digest a directory from the digests of its files."""
    return digest_json([[entry.path, entry.digest] for entry in entries])
