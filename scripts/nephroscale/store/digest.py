"""BLAKE3 digests of files, directories and JSON values."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from blake3 import blake3

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_CHUNK = 1 << 22


class FileEntry(NamedTuple):
    """One file of an object: its path inside the object ('' for a file object), size, digest and time."""

    path: str
    size: int
    digest: str
    mtime_ns: int


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> bytes:
    """Encode a JSON value so that equal values give equal bytes: sorted keys, no spaces, UTF-8, no NaN."""
    return _CANONICAL.encode(value).encode()


def pretty_json(value: Any) -> str:
    """Encode a JSON value for people: sorted keys, indented, one trailing line end; equal values, equal text."""
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def digest_bytes(data: bytes | memoryview) -> str:
    """BLAKE3 of bytes, as 64 hexadecimal digits."""
    return blake3(data).hexdigest()


def digest_json(value: Any) -> str:
    """BLAKE3 of a JSON value in canonical form."""
    return digest_bytes(canonical_json(value))


def digest_file(path: Path | str, size: int | None = None) -> str:
    """BLAKE3 of a file's bytes.

    Parameters
    ----------
    path
        The file.
    size
        Its size in bytes where the caller knows it: one call less for each of many small files.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return digest_open(handle, os.fstat(handle).st_size if size is None else size)
    finally:
        os.close(handle)


def digest_open(handle: int, size: int) -> str:
    """BLAKE3 of an open file of a known size, from where it stands."""
    # One byte more than the file has: a small one is read by one call, and its end is seen by the same.
    wanted = min(_CHUNK, size + 1)
    block = os.read(handle, wanted)
    hasher = blake3(block)
    while len(block) == wanted or (block and wanted == _CHUNK):
        block = os.read(handle, wanted)
        hasher.update(block)
    return hasher.hexdigest()


def list_files(path: Path | str) -> list[tuple[str, os.stat_result]]:
    """List the files of an object in the order of its digest: ('', stat) for a file, else sorted relative paths.

    Links inside an object are not followed and not allowed.
    """
    top = os.lstat(path)
    # Plain calls on plain strings: this is done for every object of a store.
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
        Gives the digest of a file (its path, its state) that need not be read, or None.

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
        digest = (known(file, state) if known else None) or digest_file(file, state.st_size)
        entries.append(FileEntry(name, state.st_size, digest, state.st_mtime_ns))
    if len(entries) == 1 and entries[0].path == "":
        return entries[0].digest, "file", entries
    return digest_entries(entries), "directory", entries


def digest_entries(entries: list[FileEntry]) -> str:
    """Digest a directory from the digests of its files."""
    return digest_json([[entry.path, entry.digest] for entry in entries])
