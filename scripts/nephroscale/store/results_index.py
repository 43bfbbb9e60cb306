"""The objects of a store, and the results folders and jobs that need them."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from nephroscale.collect import grouped
from nephroscale.errors import NephroscaleError
from nephroscale.store.digest import digest_bytes
from nephroscale.store.objects import Store
from nephroscale.store.receipts import Receipt, read_receipt

#: Subfolder of results for the receipts of outdated artifacts that people may still open.
OUTDATED = ".outdated"
#: Subfolder of results for all finished reports, numbered.
REPORTS = "reports"

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SHELF = re.compile(r"[0-9a-f]{2}")
# `Store.set_aside` leaves this name where only the owner can move a damaged object.
_RENAMED = re.compile(r"[0-9a-f]{64}-[0-9-]+\.damaged")


class Shelf(NamedTuple):
    """One subfolder of ``objects/``: sorted digests of present and missing objects, and paths that are no object's."""

    digests: list[str]
    strays: list[str]


def shelves(store: Store) -> Iterator[Shelf]:
    """List the objects of a store by subfolder, ``00`` to ``ff``; missing ones that have a manifest included."""
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
    """List the digests of all objects, sorted, including missing ones that have a manifest."""
    return [digest for shelf in shelves(store) for digest in shelf.digests]


def _names(folder: Path) -> list[str] | None:
    """List the names in a folder; empty if it is missing, None if it is not a folder."""
    try:
        return None if folder.is_symlink() else os.listdir(folder)  # noqa: PTH208
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        return None
    except PermissionError as error:
        raise NephroscaleError(
            "This user may not read a folder of the store.",
            where=str(folder),
            fix="Ask its owner to share the store (store.mode: group).",
        ) from error


def register_results(store: Store, results: Path) -> None:
    """Register a results folder, so that garbage collection keeps the objects that its receipts name."""
    path = _registration(store, results)
    if not path.exists():
        store.write_text(path, json.dumps({"results": str(results.absolute())}) + "\n")


def forget_results(store: Store, results: Path) -> None:
    """Unregister a results folder: garbage collection may delete objects that only its receipts name."""
    try:
        _registration(store, results).unlink()
    except FileNotFoundError:
        raise NephroscaleError(
            "This results folder is not registered in the store.",
            where=str(results.absolute()),
            fix="Choose one of those that `nephroscale gc` lists.",
        ) from None


def _registration(store: Store, results: Path) -> Path:
    return store.path / "results" / f"{digest_bytes(str(results.absolute()).encode())[:32]}.json"


def registered_results(store: Store) -> list[Path]:
    """List the registered results folders, whether they exist or not."""
    return sorted(Path(json.loads(path.read_text())["results"]) for path in store.path.glob("results/*.json"))


def absent_results(store: Store) -> list[Path]:
    """List the registered results folders without a receipt: moved, deleted, or on a disk that is not mounted."""
    return [results for results in registered_results(store) if next(_receipts(results), None) is None]


def receipts_by_digest(store: Store, on_error: Callable[[OSError], None] | None = None) -> dict[str, list[str]]:
    """Find the receipts of all registered results folders that name each object.

    Parameters
    ----------
    store
        The store.
    on_error
        Called with the error where a folder or a receipt cannot be read, which is then skipped.

    Raises
    ------
    NephroscaleError
        When one cannot be read and `on_error` is not given.
    """
    return grouped(
        (receipt.digest, str(path))
        for results in registered_results(store)
        for path, receipt in _receipts(results, on_error)
        if receipt.digest
    )


def receipts_of(results: Path) -> list[Receipt]:
    """Read every current receipt of a results folder, in the order of the paths."""
    return [
        receipt for path, receipt in _receipts(results) if path.relative_to(results).parts[0] not in {OUTDATED, REPORTS}
    ]


def _receipts(results: Path, on_error: Callable[[OSError], None] | None = None) -> Iterator[tuple[Path, Receipt]]:
    """Read a results folder; a receipt that a running workflow deletes meanwhile is no error."""

    def report(error: OSError) -> None:
        if isinstance(error, FileNotFoundError):
            return
        if on_error is None:
            raise unknown_need(error) from error
        on_error(error)

    for path in _receipt_files(results, report):
        try:
            receipt = read_receipt(path)
        except OSError as error:
            report(error)
            continue
        if receipt:
            yield path, receipt


def unknown_need(error: OSError) -> NephroscaleError:
    """Make the error for a receipt or a pin that cannot be read, so that nothing may be deleted."""
    return NephroscaleError(
        f"It is unknown which objects are needed: {error.strerror}.",
        where=str(error.filename),
        fix="Ask its owner for permission to read it.",
    )


def _receipt_files(results: Path, on_error: Callable[[OSError], None]) -> Iterator[Path]:
    """Find files that may be receipts, without following links, which lead into objects."""
    for folder, folders, files in os.walk(results, onerror=on_error):
        folders[:] = (
            sorted(set(folders) - {"raw", "logs", "benchmarks"}) if Path(folder) == results else sorted(folders)
        )
        yield from (Path(folder) / name for name in sorted(files) if name.endswith(".json"))


@contextmanager
def pinned(store: Store, digests: Iterable[str]) -> Iterator[None]:
    """Keep garbage collection from deleting objects while a job reads them."""
    pin = store.path / "pins" / f"{socket.gethostname()}-{os.getpid()}.json"
    store.write_text(pin, json.dumps(sorted(digests)))
    try:
        yield
    finally:
        pin.unlink(missing_ok=True)
