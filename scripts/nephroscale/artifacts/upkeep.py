"""Looking after a store: what its objects are, which results name them, and freeing what no result needs."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nephroscale.artifacts.digest import digest_bytes
from nephroscale.artifacts.receipts import read_receipt
from nephroscale.artifacts.store import remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nephroscale.artifacts.receipts import Receipt
    from nephroscale.artifacts.store import Store

# A pin older than this was left by a job that was killed.
PIN_SECONDS = 14 * 24 * 3600
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SHELF = re.compile(r"[0-9a-f]{2}")
# What is left in place by `Store.set_aside` where only its owner could move it.
_RENAMED = re.compile(r"[0-9a-f]{64}-[0-9-]+\.damaged")


class Shelf(NamedTuple):
    """What lies under two digits: objects that are or should be there, in order, and paths that no object can have."""

    digests: list[str]
    strays: list[str]


def shelves(store: Store) -> Iterator[Shelf]:
    """List a store, from ``00`` to ``ff``: objects that are there, and those whose manifest says they should be."""
    top, manifests = store.path / "objects", store.path / "manifests"
    for folder in sorted({*(_names(top) or []), *(_names(manifests) or [])}):
        if not _SHELF.fullmatch(folder):
            yield Shelf([], [f"objects/{folder}"] if os.path.lexists(top / folder) else [])
            continue
        names, strays = _names(top / folder), []
        if names is None:
            names, strays = [], [f"objects/{folder}"]
        digests = {name for name in names if _DIGEST.fullmatch(name) and name.startswith(folder)}
        strays += [
            f"objects/{folder}/{name}"
            for name in sorted(set(names) - digests)
            if not (_RENAMED.fullmatch(name) and name.startswith(folder))
        ]
        listed = {name[:-5] for name in _names(manifests / folder) or [] if name.endswith(".json")} - digests
        digests.update(name for name in listed if _DIGEST.fullmatch(name) and name.startswith(folder))
        yield Shelf(sorted(digests), strays)


def objects(store: Store) -> list[str]:
    """The digests of all objects, in order: those that are there, and those whose manifest says they should be."""
    return [digest for shelf in shelves(store) for digest in shelf.digests]


def _names(folder: Path) -> list[str] | None:
    """The names in a folder, none where it is absent; None where it is not a folder."""
    try:
        return None if folder.is_symlink() else os.listdir(folder)  # noqa: PTH208
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        return None


def register_results(store: Store, results: Path) -> None:
    """Note that the receipts of a results folder name objects of this store, so that :func:`collect` spares them."""
    path = str(results.absolute())
    note = store.path / "results" / f"{digest_bytes(path.encode())[:32]}.json"
    if not note.exists():
        store.write_text(note, json.dumps({"results": path}) + "\n")


def registered_results(store: Store) -> list[Path]:
    """The results folders that were registered and still exist."""
    notes = (json.loads(path.read_text()) for path in sorted(store.path.glob("results/*.json")))
    return [folder for note in notes if (folder := Path(note["results"])).is_dir()]


def receipts_by_digest(store: Store) -> dict[str, list[str]]:
    """The receipts of all registered results folders that name each object."""
    named: dict[str, list[str]] = {}
    for results in registered_results(store):
        for path in _receipt_files(results):
            receipt = read_receipt(path)
            if receipt and receipt.digest:
                named.setdefault(receipt.digest, []).append(str(path))
    return named


def receipts_of(results: Path) -> list[Receipt]:
    """Every receipt of a results folder, in the order of the paths."""
    return [receipt for path in _receipt_files(results) if (receipt := read_receipt(path))]


def _receipt_files(results: Path) -> Iterator[Path]:
    """Files that may be receipts; links lead into objects and are not followed."""
    for folder, folders, files in os.walk(results):
        folders[:] = (
            sorted(set(folders) - {"raw", "logs", "benchmarks"}) if Path(folder) == results else sorted(folders)
        )
        yield from (Path(folder) / name for name in sorted(files) if name.endswith(".json"))


@contextmanager
def pinned(store: Store, digests: Iterable[str]) -> Iterator[None]:
    """Keep objects from being collected while a job reads them."""
    pin = store.path / "pins" / f"{socket.gethostname()}-{os.getpid()}.json"
    store.write_text(pin, json.dumps(sorted(digests)))
    try:
        yield
    finally:
        pin.unlink(missing_ok=True)


def collect(store: Store, *, keep_seconds: float = 86400.0, delete: bool = False) -> list[tuple[str, int]]:
    """List, or delete, the objects that no receipt of any registered results folder names.

    Spared are the young and those pinned by a running job. Scratch folders of jobs that died go too.

    Parameters
    ----------
    store
        The store.
    keep_seconds
        Objects made less than this long ago are spared.
    delete
        Delete them; otherwise only list them.

    Returns
    -------
    list of tuple
        Digest and size in bytes.
    """
    oldest = time.time() - keep_seconds
    needed = _needed(store)
    found = []
    for digest in objects(store):
        manifest = store.manifest_path(digest)
        made = manifest.stat().st_mtime if manifest.exists() else time.time()
        if digest not in needed and made < oldest:
            found.append((digest, sum(entry.size for entry in store.manifest(digest) or [])))
    if delete:
        needed = _needed(store)  # once more: a run may have asked for some of them meanwhile
        found = [(digest, size) for digest, size in found if digest not in needed]
        for digest, _ in found:
            store.remove(digest)
        for folder in store.path.glob("tmp/*"):
            with suppress(FileNotFoundError):
                if folder.stat().st_mtime < oldest:
                    remove_tree(folder)
    return found


def _needed(store: Store) -> set[str]:
    """What receipts name, and what running jobs have pinned."""
    needed = set(receipts_by_digest(store))
    for pin in store.path.glob("pins/*.json"):
        with suppress(FileNotFoundError, ValueError):  # a job has just ended
            if pin.stat().st_mtime > time.time() - PIN_SECONDS:
                needed.update(json.loads(pin.read_text()))
    return needed
