"""Verification of a store: every object is hashed again, in parallel; an interrupted verification can be resumed."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from nephroscale.store.objects import MISSING, Store
from nephroscale.store.records import Records, now
from nephroscale.store.results_index import receipts_by_digest, shelves

# Objects that a worker checks before it reports progress.
BATCH = 100
UNREADABLE = "may not be read by this user"
_NAME = re.compile(r"[0-9a-f]{64}")


class Damage(NamedTuple):
    """A damaged object (or the path of a stray file or a changed record), its fault, and the receipts that name it."""

    digest: str
    fault: str
    receipts: list[str]

    @property
    def kind(self) -> str:
        """``stray``, ``record``, ``missing``, ``unreadable`` (its state is unknown) or ``damaged`` (set aside)."""
        if "/" in self.digest:
            return "stray" if self.digest.startswith("objects/") else "record"
        return {MISSING: "missing", UNREADABLE: "unreadable"}.get(self.fault, "damaged")


class VerificationProgress(NamedTuple):
    """Progress of a verification: objects done, objects in all, bytes read in this session."""

    done: int
    total: int
    size: int


class Checked(NamedTuple):
    """Objects that a worker checked, the faults of damaged ones by digest, and the number of bytes read."""

    digests: list[str]
    faults: dict[str, str]
    size: int


class VerificationLog:
    """The file in the store that lists what has been verified since a verification began.

    One fact per line: ``begun <time>``, ``intact <digest>``, ``damaged <digest> <fault>``.
    """

    def __init__(self, store: Store, *, restart: bool = False) -> None:
        self.path = store.path / "verification.txt"
        self.begun = ""
        self.intact: set[str] = set()
        self.damaged: dict[str, str] = {}
        if restart:
            self.path.unlink(missing_ok=True)
        for line in self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []:
            word, _, rest = line.partition(" ")
            digest, _, fault = rest.partition(" ")
            if word == "begun":
                self.begun = rest
            elif word == "intact" and _NAME.fullmatch(digest):
                self.intact.add(digest)
            elif word == "damaged" and fault:
                self.damaged[digest] = fault
        if not self.begun:
            store.write_text(self.path, f"begun {now()}\n")

    def add(self, lines: Iterable[str]) -> None:
        """Append lines; half a line that a killed process left is ended first and ignored."""
        with self.path.open("a+", encoding="utf-8") as stream:
            stream.write("".join(f"\n{line}" for line in lines) + "\n")


def verify(
    store: Store,
    report: Callable[[VerificationProgress], None] = lambda _: None,
    *,
    workers: int | None = None,
    restart: bool = False,
) -> list[Damage]:
    """Hash every object again, and set aside those whose bytes do not match their name.

    An interrupted verification is resumed: objects found intact since it began are not read again, and objects found
    damaged are reported again.

    Parameters
    ----------
    store
        The store.
    report
        Called with the progress after each batch.
    workers
        Number of processes; one per core by default.
    restart
        Ignore what an interrupted verification has found.

    Returns
    -------
    list of Damage
        Damaged objects, missing objects that receipts name, files that are not part of any object, and changed records.
        Objects that this user may not read are listed, but not set aside.
    """
    store.folder("objects")
    log = VerificationLog(store, restart=restart)
    present: set[str] = set()
    strays: list[str] = []

    def list_batches() -> Iterator[list[str]]:
        for shelf in shelves(store):
            present.update(shelf.digests)
            strays.extend(shelf.strays)
            left = [digest for digest in shelf.digests if digest not in log.intact]
            yield from (left[start : start + BATCH] for start in range(0, len(left), BATCH))

    size = 0
    with _check_all(store, list_batches(), workers or os.cpu_count() or 1) as checked:
        done = len(present & log.intact)
        report(VerificationProgress(done, len(present), size))
        for batch in checked:
            log.damaged |= batch.faults
            lines = [f"intact {digest}" for digest in batch.digests if digest not in batch.faults]
            lines += [f"damaged {digest} {' '.join(fault.split())}" for digest, fault in batch.faults.items()]
            log.add(lines)  # before anything is set aside, so that a resumed verification reports it too
            for digest, fault in batch.faults.items():
                if fault != UNREADABLE:
                    store.set_aside(digest)
            done, size = done + len(batch.digests), size + batch.size
            report(VerificationProgress(done, len(present), size))
    damages = _name_receipts(store, log.damaged, present)
    log.path.unlink(missing_ok=True)
    damages += [Damage(path, "is not part of any object", []) for path in sorted(strays)]
    return damages + [Damage(path, "was changed after it was written", []) for path in Records(store).changed()]


def interrupted(store: Store) -> str | None:
    """Describe an interrupted verification (start, number of verified objects); None if there is none."""
    if not (store.path / "verification.txt").exists():
        return None
    log = VerificationLog(store)
    return f"begun {log.begun}, {len(log.intact)} objects verified"


def _name_receipts(store: Store, damaged: dict[str, str], present: set[str]) -> list[Damage]:
    """Add the receipts that name each damaged object, and the objects that receipts name but that are missing."""

    def report(error: OSError) -> None:
        print(f"nephroscale: receipts are skipped: {error.filename}: {error.strerror}", file=sys.stderr)

    named = receipts_by_digest(store, report)
    faults = damaged | dict.fromkeys(named.keys() - present - damaged.keys(), MISSING)
    return [Damage(digest, faults[digest], sorted(named.get(digest, []))) for digest in sorted(faults)]


@contextmanager
def _check_all(store: Store, batches: Iterator[list[str]], workers: int) -> Iterator[Iterator[Checked]]:
    """Check batches of objects in parallel, beginning while others are still being listed."""
    check = partial(_check_batch, str(store.path))
    if workers == 1:
        yield map(check, list(batches))
        return
    with ProcessPoolExecutor(workers, initializer=_ignore_interrupts) as pool:
        try:
            yield pool.map(check, batches)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _ignore_interrupts() -> None:
    """Leave a keyboard interrupt to the main process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _check_batch(path: str, digests: list[str]) -> Checked:
    store, faults, total = Store(Path(path)), {}, 0
    for digest in digests:
        try:
            fault, size = store.check(digest)
        except PermissionError:
            fault, size = UNREADABLE, 0
        if fault:
            faults[digest] = fault
        total += size
    return Checked(digests, faults, total)
