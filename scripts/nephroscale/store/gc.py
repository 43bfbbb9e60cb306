"""Freeing a store of what no result needs: objects, and what killed jobs have left."""

from __future__ import annotations

import json
import math
import os
import socket
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from nephroscale.errors import NephroscaleError
from nephroscale.store.digest import list_files
from nephroscale.store.objects import remove_tree
from nephroscale.store.records import Records
from nephroscale.store.results_index import absent_results, objects, receipts_by_digest, unknown_need

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nephroscale.store.objects import Store

# What is older than this was left by a job that was killed, wherever it ran.
PIN_SECONDS = 14 * 24 * 3600


class Collected(NamedTuple):
    """What no result needs.

    Attributes
    ----------
    objects
        Digest and size in bytes of each object.
    left
        What jobs that were killed have left: scratch folders, checkpoints, pins.
    others
        Objects that are folders of other users, which alone may delete them.
    """

    objects: list[tuple[str, int]]
    left: list[Path]
    others: list[str]


def collect(store: Store, *, keep_seconds: float = 86400.0, delete: bool = False) -> Collected:
    """List, or delete, the objects that no receipt of any registered results folder names.

    Spared are the young and those pinned by a running job. What jobs that were killed have left goes too.

    Parameters
    ----------
    store
        The store.
    keep_seconds
        What was made less than this long ago is spared.
    delete
        Delete them; otherwise only list them.

    Returns
    -------
    Collected
        What can be deleted, or was.

    Raises
    ------
    NephroscaleError
        Before anything is deleted: when a receipt or pin cannot be read; when a registered results folder is absent
        and something is to be deleted.
    """
    needed = _needed(store, whole=delete)
    oldest = time.time() - keep_seconds
    old = (digest for digest in objects(store) if digest not in needed and _made(store, digest) < oldest)
    found = [(digest, _size(store, digest)) for digest in old]
    left = _left(store, keep_seconds)
    others: list[str] = []
    if delete:
        needed = _needed(store, whole=True)  # once more: a run may have asked for some of them meanwhile
        free = [(digest, size) for digest, size in found if digest not in needed]
        found = []
        for digest, size in free:
            try:
                store.remove(digest)
                found.append((digest, size))
            except PermissionError:
                others.append(digest)
        for path in left:
            with suppress(PermissionError):
                remove_tree(path)
        left = [path for path in left if not os.path.lexists(path)]
    return Collected(found, left, others)


def makers(store: Store, digests: Iterable[str]) -> dict[str, str]:
    """What made some objects, as ``stage/unit``, where a record knows it; looking ends when all are found."""
    wanted, found, records = set(digests), {}, Records(store)
    paths = store.path.glob("records/*/*.json")
    while wanted and (path := next(paths, None)):
        receipt = (records.read(path.stem) or {}).get("receipt", {})
        if receipt.get("digest") in wanted:
            wanted.remove(receipt["digest"])
            found[receipt["digest"]] = f"{receipt['stage']}/{receipt['unit']}"
    return found


def _made(store: Store, digest: str) -> float:
    """When an object was made, by its manifest; without one, when it got its name."""
    with suppress(FileNotFoundError):
        return store.manifest_path(digest).stat().st_mtime
    with suppress(FileNotFoundError):
        return store.object_path(digest).lstat().st_ctime
    return time.time()  # gone meanwhile


def _size(store: Store, digest: str) -> int:
    with suppress(OSError):
        entries = store.manifest(digest)
        if entries is None:
            return sum(state.st_size for _, state in list_files(store.object_path(digest)))
        return sum(entry.size for entry in entries)
    return 0


def _needed(store: Store, *, whole: bool) -> set[str]:
    """What receipts name, and what running jobs have pinned; with `whole`, no registered results may be absent."""
    needed = set(receipts_by_digest(store))
    for pin in store.path.glob("pins/*.json"):
        try:
            if not _is_dead(pin):
                needed.update(json.loads(pin.read_text()))
        except (FileNotFoundError, ValueError):  # a job has just ended
            continue
        except PermissionError as error:
            raise unknown_need(error) from error
    if whole and (absent := absent_results(store)):
        raise NephroscaleError(
            "Registered results folders are absent or hold no receipt, so that nobody knows which objects they need; "
            "nothing was deleted.",
            where=", ".join(map(str, absent)),
            todo="Mount them or move them back; name each that is no longer wanted by --forget FOLDER.",
        )
    return needed


def _left(store: Store, keep_seconds: float) -> list[Path]:
    """What jobs that were killed have left; a job on another host is taken for a running one for `PIN_SECONDS`."""
    now, anywhere = time.time(), max(keep_seconds, PIN_SECONDS)
    found = [path for path in store.path.glob("work/*") if now - _newest(path) > anywhere]
    for path in store.path.glob("tmp/*"):
        lives = _lives(path.name.rpartition("-")[0])
        if not lives and now - _newest(path) > (anywhere if lives is None else keep_seconds):
            found.append(path)
    for pin in store.path.glob("pins/*.json"):
        with suppress(FileNotFoundError):
            if _is_dead(pin):
                found.append(pin)
    return sorted(found)


def _is_dead(pin: Path) -> bool:
    return time.time() - pin.stat().st_mtime > PIN_SECONDS and not _lives(pin.stem)


def _lives(process: str) -> bool | None:
    """Whether a process, named as ``<host>-<pid>``, lives; None where that cannot be seen from this host."""
    host, _, pid = process.rpartition("-")
    if host != socket.gethostname() or not pid.isdecimal():
        return None
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # of another user
        return True
    return True


def _newest(path: Path) -> float:
    """When a tree was last written to, or a file in it read; infinite where it cannot be looked at."""

    def refuse(error: OSError) -> None:
        raise error

    try:
        newest = path.lstat().st_mtime
        if not path.is_dir():
            return newest
        for folder, folders, files in os.walk(path, onerror=refuse):
            states = [os.lstat(os.path.join(folder, name)) for name in folders + files]  # noqa: PTH118
            read = (state.st_atime for state in states if stat.S_ISREG(state.st_mode))
            newest = max([newest, *(state.st_mtime for state in states), *read])
    except OSError:
        return math.inf
    return newest
