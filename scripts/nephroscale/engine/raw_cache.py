"""Digests of raw files, cached by path, size, time and inode, so that a slide is hashed once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from nephroscale.cohort.image import Image
from nephroscale.errors import NephroscaleError
from nephroscale.slides import raw
from nephroscale.store.digest import digest_bytes
from nephroscale.store.disk import read_file
from nephroscale.store.objects import Store

# The pre-pass hashes at most this many bytes of unknown files: about two seconds.
PRE_PASS_BYTES = 8 << 30


def raw_paths(images: Iterable[Image]) -> dict[str, Path]:
    """The raw files of some images, by the names that they have in recipes."""
    return {
        image.id + label: path
        for image in images
        for label, path in (("", image.path), (".annotation", image.annotation))
        if path
    }


class RawCache:
    """The cache in a store's folder ``raw/``: one small file a path, named by the digest of the path."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.budget = PRE_PASS_BYTES
        self._hashed: dict[Path, dict[str, Any]] = {}
        #: Recorded digests of missing files (None: no record); filled by the audit only, since elsewhere a missing file
        #: is an error.
        self.recorded: dict[Path, str | None] = {}

    def _entry_path(self, path: Path) -> str:
        text = str(path)
        key = digest_bytes((text if text[0] == "/" else os.path.join(os.getcwd(), text)).encode())  # noqa: PTH109, PTH118
        return f"{self.store.path}/raw/{key[:2]}/{key}.json"

    def known(self, path: Path) -> str | None:
        """The digest of a raw image that has not changed since it was hashed, else None."""
        entry = self.entry(path)
        return entry["digest"] if entry else None

    def entry(self, path: Path) -> dict[str, Any] | None:
        """``digest`` and ``size`` of a raw image that has not changed since it was hashed, else None."""
        entry = self._hashed.get(path) or self._read(self._entry_path(path))
        return entry if entry and entry["signature"] == raw.stat_signature(path)[0] else None

    def quickly(self, path: Path) -> str | None:
        """The digest of a known file, or of one that the store may have seen under another name.

        A file whose size is known is hashed while the budget lasts, so that a touched or copied slide costs no job. All
        others are left to their `register` job.
        """
        if path in self.recorded:
            return self.recorded[path]
        if digest := self.known(path):
            return digest
        size = raw.stat_signature(path)[1]
        if size not in self._sizes or size > self.budget:
            return None
        self.budget -= size
        return self.digest(path)

    @staticmethod
    def is_there(path: Path) -> bool:
        """Whether all files of a raw image exist and are readable."""
        try:
            raw.stat_signature(path)
        except (NephroscaleError, OSError):
            return False
        return True

    def digest(self, path: Path) -> str:
        """Hash a raw image, or take its digest from the cache."""
        if known := self.known(path):
            return known
        signature, size = raw.stat_signature(path)
        digest: str = raw.digest(path)
        entry = {"signature": signature, "size": size, "digest": digest}
        if raw.stat_signature(path)[0] == signature:  # else it changed meanwhile
            self._hashed[path] = entry
            self.store.write_text(Path(self._entry_path(path)), json.dumps(entry))
        return digest

    @cached_property
    def _sizes(self) -> set[int]:
        return {entry["size"] for path in self.store.path.glob("raw/*/*.json") if (entry := self._read(path))}

    def digest_in(self, path: Path) -> str | None:
        """The digest that a file of the cache holds."""
        entry = self._read(path)
        return entry["digest"] if entry else None

    @staticmethod
    def _read(path: Path | str) -> dict[str, Any] | None:
        try:
            entry: dict[str, Any] = orjson.loads(read_file(path)[0])
        except (FileNotFoundError, PermissionError, ValueError):
            return None
        return entry
