"""Looking after a store: what its objects are, and which results and jobs need them."""

from __future__ import annotations

import json
import os
import re
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nephroscale.errors import NephroscaleError
from nephroscale.store.digest import digest_bytes
from nephroscale.store.receipts import read_receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nephroscale.store.objects import Store
    from nephroscale.store.receipts import Receipt

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
    """Note that the receipts of a results folder name objects of this store, so that collecting garbage spares them."""
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
            raise unknown_need(error) from error
        on_error(error)

    for path in _receipt_files(results, tell):
        try:
            receipt = read_receipt(path)
        except OSError as error:
            tell(error)
            continue
        if receipt:
            yield path, receipt


def unknown_need(error: OSError) -> NephroscaleError:
    """The message where a receipt or a pin cannot be read, and so nothing may be deleted."""
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
