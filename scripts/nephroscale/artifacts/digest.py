"""BLAKE3 digests of files, directories and JSON values."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from blake3 import blake3

_CHUNK = 1 << 22


class FileEntry(NamedTuple):
    """One file of an object: its path inside the object ('' for a file object), size, digest and time."""

    path: str
    size: int
    digest: str
    mtime_ns: int


def canonical_json(value: Any) -> bytes:
    """Encode a JSON value so that equal values give equal bytes: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def pretty_json(value: Any) -> str:
    """Encode a JSON value for people: sorted keys, indented, one trailing line end; equal values, equal text."""
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def digest_bytes(data: bytes) -> str:
    """BLAKE3 of bytes, as 64 hexadecimal digits."""
    return blake3(data).hexdigest()


def digest_json(value: Any) -> str:
    """BLAKE3 of a JSON value in canonical form."""
    return digest_bytes(canonical_json(value))


def digest_file(path: Path) -> str:
    """BLAKE3 of a file's bytes."""
    hasher = blake3()
    with Path(path).open("rb", buffering=0) as stream:
        while block := stream.read(_CHUNK):
            hasher.update(block)
    return hasher.hexdigest()


def list_files(path: Path) -> list[tuple[str, os.stat_result]]:
    """List the files of an object in the order of its digest: ('', stat) for a file, else sorted relative paths.

    Links inside an object are not followed and not allowed.
    """
    top = os.lstat(path)
    if not os.path.isdir(path):  # noqa: PTH112  (called once for every object of a cohort: plain calls are faster)
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


def digest_tree(path: Path) -> tuple[str, str, list[FileEntry]]:
    """Digest an object.

    Parameters
    ----------
    path
        A file or a directory.

    Returns
    -------
    digest
        Of a file: BLAKE3 of its bytes. Of a directory: BLAKE3 of its sorted relative paths and their digests.
    kind
        ``file`` or ``directory``.
    entries
        Every file, in order.
    """
    entries = [
        FileEntry(name, stat.st_size, digest_file(Path(path) / name if name else Path(path)), stat.st_mtime_ns)
        for name, stat in list_files(path)
    ]
    if len(entries) == 1 and entries[0].path == "":
        return entries[0].digest, "file", entries
    return digest_entries(entries), "directory", entries


def digest_entries(entries: list[FileEntry]) -> str:
    """Digest a directory from the digests of its files."""
    return digest_json([[entry.path, entry.digest] for entry in entries])
