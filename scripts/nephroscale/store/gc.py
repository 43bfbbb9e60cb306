"""Garbage collection: objects that no result needs, and files that killed jobs left behind."""

from __future__ import annotations

import json
import math
import os
import socket
import stat
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from nephroscale.errors import NephroscaleError
from nephroscale.store.digest import list_files
from nephroscale.store.folder import remove_tree
from nephroscale.store.objects import Store
from nephroscale.store.records import Records
from nephroscale.store.results_index import absent_results, objects, receipts_by_digest, unknown_need

# A job whose files are older than this was killed, on whatever host it ran.
PIN_SECONDS = 14 * 24 * 3600


class Collected(NamedTuple):
    """What no result needs.

    Attributes
    ----------
    objects
        Digest and size in bytes of each object.
    leftovers
        Scratch folders, checkpoints and pins of killed jobs.
    others
        Objects that are folders of other users, who alone can delete them.
    """

    objects: list[tuple[str, int]]
    leftovers: list[Path]
    others: list[str]


def collect(store: Store, *, keep_seconds: float = 86400.0, delete: bool = False) -> Collected:
    """List or delete the objects that no receipt of any registered results folder names, and leftovers of killed jobs.

    Objects that are young or pinned by a running job are kept.

    Parameters
    ----------
    store
        The store.
    keep_seconds
        Keep what was made less than this many seconds ago.
    delete
        Delete them; otherwise only list them.

    Returns
    -------
    Collected
        What can be deleted, or was deleted.

    Raises
    ------
    NephroscaleError
        Before anything is deleted, when a receipt or pin cannot be read, or when `delete` is set and a registered
        results folder is missing.
    """
    needed = _needed(store, all_results=delete)
    oldest = time.time() - keep_seconds
    found = [
        (digest, _size(store, digest))
        for digest in objects(store)
        if digest not in needed and _made(store, digest) < oldest
    ]
    leftovers = _leftovers(store, keep_seconds)
    others: list[str] = []
    if delete:
        needed = _needed(store, all_results=True)  # again: a run may need some of them meanwhile
        free = [(digest, size) for digest, size in found if digest not in needed]
        found = []
        for digest, size in free:
            try:
                store.remove(digest)
                found.append((digest, size))
            except PermissionError:
                others.append(digest)
        for path in leftovers:
            with suppress(PermissionError):
                remove_tree(path)
        leftovers = [path for path in leftovers if not os.path.lexists(path)]
    return Collected(found, leftovers, others)


def makers(store: Store, digests: Iterable[str]) -> dict[str, str]:
    """Find what made some objects, as ``stage/unit``; objects without a record are left out."""
    wanted, found, records = set(digests), {}, Records(store)
    paths = store.path.glob("records/*/*.json")
    while wanted and (path := next(paths, None)):
        record = records.read(path.stem)
        if record and record.receipt.digest in wanted:
            wanted.remove(record.receipt.digest)
            found[record.receipt.digest] = f"{record.receipt.stage}/{record.receipt.unit}"
    return found


def _made(store: Store, digest: str) -> float:
    """When an object was made: the time of its manifest, or of its renaming if it has none."""
    with suppress(FileNotFoundError):
        return store.manifest_path(digest).stat().st_mtime
    with suppress(FileNotFoundError):
        return store.object_path(digest).lstat().st_ctime
    return time.time()  # deleted meanwhile


def _size(store: Store, digest: str) -> int:
    with suppress(OSError):
        entries = store.manifest(digest)
        if entries is None:
            return sum(state.st_size for _, state in list_files(store.object_path(digest)))
        return sum(entry.size for entry in entries)
    return 0


def _needed(store: Store, *, all_results: bool) -> set[str]:
    """What receipts name or running jobs have pinned; `all_results` requires every registered results folder."""
    needed = set(receipts_by_digest(store))
    for pin in store.path.glob("pins/*.json"):
        try:
            if not _is_dead(pin):
                needed.update(json.loads(pin.read_text()))
        except (FileNotFoundError, ValueError):  # its job has just ended
            continue
        except PermissionError as error:
            raise unknown_need(error) from error
    if all_results and (absent := absent_results(store)):
        raise NephroscaleError(
            "Registered results folders are missing or contain no receipt, so it is unknown which objects they need. "
            "Nothing was deleted.",
            where=", ".join(map(str, absent)),
            fix="Mount them or move them back, or pass --forget FOLDER for each one that is no longer needed.",
        )
    return needed


def _leftovers(store: Store, keep_seconds: float) -> list[Path]:
    """Files of killed jobs; a job on another host counts as running for `PIN_SECONDS`."""
    now, anywhere = time.time(), max(keep_seconds, PIN_SECONDS)
    found = [path for path in store.path.glob("work/*") if now - _newest(path) > anywhere]
    for path in store.path.glob("tmp/*"):
        running = _is_running(path.name.rpartition("-")[0])
        if not running and now - _newest(path) > (anywhere if running is None else keep_seconds):
            found.append(path)
    for pin in store.path.glob("pins/*.json"):
        with suppress(FileNotFoundError):
            if _is_dead(pin):
                found.append(pin)
    return sorted(found)


def _is_dead(pin: Path) -> bool:
    return time.time() - pin.stat().st_mtime > PIN_SECONDS and not _is_running(pin.stem)


def _is_running(process: str) -> bool | None:
    """Whether the process ``<host>-<pid>`` is running; None where this host cannot know."""
    host, _, pid = process.rpartition("-")
    return is_alive(os.kill, int(pid)) if host == socket.gethostname() and pid.isdecimal() else None


def is_alive(signal: Callable[[int, int], None], number: int) -> bool:
    """Whether a process, or any process of a group, runs: `signal` is `os.kill` or `os.killpg`."""
    try:
        signal(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # of another user
        return True
    return True


def _newest(path: Path) -> float:
    """When a file in a tree was last written or read; infinite if the tree cannot be listed."""

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
