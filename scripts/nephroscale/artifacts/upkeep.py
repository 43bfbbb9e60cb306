"""Looking after a store: what its objects are, which results name them, and freeing what no result needs."""

from __future__ import annotations

import json
import math
import os
import re
import socket
import stat
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nephroscale.artifacts.digest import digest_bytes, list_files
from nephroscale.artifacts.receipts import read_receipt
from nephroscale.artifacts.records import Records
from nephroscale.artifacts.store import remove_tree
from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nephroscale.artifacts.receipts import Receipt
    from nephroscale.artifacts.store import Store

# What is older than this was left by a job that was killed, wherever it ran.
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
    except PermissionError as error:
        raise NephroscaleError(
            "A folder of the store may not be read by this user.",
            where=str(folder),
            todo="Ask its owner to share the store (store.mode: group).",
        ) from error


def register_results(store: Store, results: Path) -> None:
    """Note that the receipts of a results folder name objects of this store, so that :func:`collect` spares them."""
    note = _note(store, results)
    if not note.exists():
        store.write_text(note, json.dumps({"results": str(results.absolute())}) + "\n")


def forget_results(store: Store, results: Path) -> None:
    """Take a results folder off the register: what only its receipts name may be collected from now on."""
    try:
        _note(store, results).unlink()
    except FileNotFoundError:
        raise NephroscaleError(
            "This folder is not on the register of the store.",
            where=str(results.absolute()),
            todo="`nephroscale gc` lists those that are.",
        ) from None


def _note(store: Store, results: Path) -> Path:
    return store.path / "results" / f"{digest_bytes(str(results.absolute()).encode())[:32]}.json"


def registered_results(store: Store) -> list[Path]:
    """The results folders that were registered, whether they are there or not."""
    return sorted(Path(json.loads(path.read_text())["results"]) for path in store.path.glob("results/*.json"))


def absent_results(store: Store) -> list[Path]:
    """The registered results folders without a receipt: moved, deleted, or on a disk that is not mounted."""
    return [results for results in registered_results(store) if next(_receipts(results), None) is None]


def receipts_by_digest(store: Store, on_error: Callable[[OSError], None] | None = None) -> dict[str, list[str]]:
    """Find the receipts of all registered results folders that name each object.

    Parameters
    ----------
    store
        The store.
    on_error
        Called with the error where a folder or a receipt cannot be read, which is then passed over.

    Raises
    ------
    NephroscaleError
        Where one cannot be read, unless `on_error` is given.
    """
    named: dict[str, list[str]] = {}
    for results in registered_results(store):
        for path, receipt in _receipts(results, on_error):
            if receipt.digest:
                named.setdefault(receipt.digest, []).append(str(path))
    return named


def receipts_of(results: Path) -> list[Receipt]:
    """Every receipt of a results folder, in the order of the paths."""
    return [receipt for _, receipt in _receipts(results)]


def _receipts(results: Path, on_error: Callable[[OSError], None] | None = None) -> Iterator[tuple[Path, Receipt]]:
    """Read a results folder; what goes while it is read, as the receipts of a run do, is no error."""

    def tell(error: OSError) -> None:
        if isinstance(error, FileNotFoundError):
            return
        if on_error is None:
            raise _unknown_need(error) from error
        on_error(error)

    for path in _receipt_files(results, tell):
        try:
            receipt = read_receipt(path)
        except OSError as error:
            tell(error)
            continue
        if receipt:
            yield path, receipt


def _unknown_need(error: OSError) -> NephroscaleError:
    return NephroscaleError(
        f"Which objects are needed cannot be told: {error.strerror}.",
        where=str(error.filename),
        todo="Ask its owner for the right to read it.",
    )


def _receipt_files(results: Path, on_error: Callable[[OSError], None]) -> Iterator[Path]:
    """Files that may be receipts; links lead into objects and are not followed."""
    for folder, folders, files in os.walk(results, onerror=on_error):
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


class Collected(NamedTuple):
    """What no result needs.

    Parameters
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
            raise _unknown_need(error) from error
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
