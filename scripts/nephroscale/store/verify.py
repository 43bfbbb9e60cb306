"""Verifying a store: every object is hashed again, by all cores, and an interrupted verification can be taken up."""

from __future__ import annotations

import os
import re
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nephroscale.store.objects import Store
from nephroscale.store.records import Records, now
from nephroscale.store.results_index import receipts_by_digest, shelves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# Objects that one worker looks at before it reports: few enough for a lively progress bar.
PIECE = 100
MISSING = "missing"  # as Store.check says it
UNREADABLE = "may not be read by this user"
_NAME = re.compile(r"[0-9a-f]{64}")


class Damage(NamedTuple):
    """A damaged object (or the path of a stray file or a record), what is wrong with it, and the spoilt receipts."""

    digest: str
    fault: str
    receipts: list[str]

    @property
    def kind(self) -> str:
        """``stray``, ``record``, ``missing``, ``unreadable`` (nothing is known of it) or ``damaged`` (set aside)."""
        if "/" in self.digest:
            return "stray" if self.digest.startswith("objects/") else "record"
        return {MISSING: "missing", UNREADABLE: "unreadable"}.get(self.fault, "damaged")


class Progress(NamedTuple):
    """How far a verification is: objects done and in all, and bytes read in this session."""

    done: int
    total: int
    size: int


class Piece(NamedTuple):
    """Objects that were looked at, what is wrong with those that are damaged, and the bytes that were read."""

    digests: list[str]
    faults: dict[str, str]
    size: int


class Notes:
    """The file in the store that remembers what has been verified since a verification began.

    One line a fact: ``begun <time>``, ``sound <digest>``, ``damaged <digest> <fault>``.
    """

    def __init__(self, store: Store, *, restart: bool = False) -> None:
        self.path = store.path / "verification.txt"
        self.begun = ""
        self.sound: set[str] = set()
        self.damaged: dict[str, str] = {}
        if restart:
            self.path.unlink(missing_ok=True)
        for line in self._lines():
            word, _, rest = line.partition(" ")
            digest, _, fault = rest.partition(" ")
            if word == "begun":
                self.begun = rest
            elif word == "sound" and _NAME.fullmatch(digest):
                self.sound.add(digest)
            elif word == "damaged" and fault:
                self.damaged[digest] = fault
        if not self.begun:
            store.write_text(self.path, f"begun {now()}\n")

    def _lines(self) -> list[str]:
        try:
            return self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []

    def add(self, lines: Iterable[str]) -> None:
        """Append facts; half a line that a killed process left is ended first, and says nothing."""
        with self.path.open("a+", encoding="utf-8") as stream:
            stream.write("".join(f"\n{line}" for line in lines) + "\n")


def verify(
    store: Store,
    report: Callable[[Progress], None] | None = None,
    *,
    workers: int | None = None,
    restart: bool = False,
) -> list[Damage]:
    """Hash every object again, and set aside those whose bytes are not what their name says.

    A verification that was interrupted is taken up where it stopped: what was found sound since it began is not read
    again, and what was found damaged is told again.

    Parameters
    ----------
    store
        The store.
    report
        Called as work is done.
    workers
        Processes; by default one for each core.
    restart
        Begin anew whatever an earlier verification has found.

    Returns
    -------
    list of Damage
        Damaged objects, receipts whose object is missing, files that have no place among the objects, and records
        that were changed. What this user may not read is among them, but not set aside, since nothing is known of it.
    """
    store.folder("objects")
    notes = Notes(store, restart=restart)
    present: set[str] = set()
    strays: list[str] = []

    def list_pieces() -> Iterator[list[str]]:
        for shelf in shelves(store):
            present.update(shelf.digests)
            strays.extend(shelf.strays)
            left = [digest for digest in shelf.digests if digest not in notes.sound]
            yield from (left[start : start + PIECE] for start in range(0, len(left), PIECE))

    size = 0
    with _checked(store, list_pieces(), workers or os.cpu_count() or 1) as pieces:
        done = len(present & notes.sound)
        if report:
            report(Progress(done, len(present), size))
        for piece in pieces:
            notes.damaged |= piece.faults
            lines = [f"sound {digest}" for digest in piece.digests if digest not in piece.faults]
            lines += [f"damaged {digest} {' '.join(fault.split())}" for digest, fault in piece.faults.items()]
            notes.add(lines)  # before anything is set aside, so that it is told even by the next one
            for digest, fault in piece.faults.items():
                if fault != UNREADABLE:
                    store.set_aside(digest)
            done, size = done + len(piece.digests), size + piece.size
            if report:
                report(Progress(done, len(present), size))
    damages = _name_receipts(store, notes.damaged, present)
    notes.path.unlink(missing_ok=True)
    damages += [Damage(path, "has no place among the objects", []) for path in sorted(strays)]
    return damages + [Damage(path, "was changed after it was written", []) for path in Records(store).changed()]


def resumes(store: Store) -> str | None:
    """When a verification that was not ended began, and how many objects it has verified; None where there is none."""
    if not (store.path / "verification.txt").exists():
        return None
    notes = Notes(store)
    return f"begun {notes.begun}, {len(notes.sound)} objects verified"


def _name_receipts(store: Store, damaged: dict[str, str], present: set[str]) -> list[Damage]:
    """Add the receipts that each damage spoils, and the receipts whose object is not there at all."""

    def tell(error: OSError) -> None:
        print(f"nephroscale: receipts are passed over: {error.filename}: {error.strerror}", file=sys.stderr)

    named = receipts_by_digest(store, tell)
    missing = dict.fromkeys(named.keys() - present - damaged.keys(), MISSING)
    faults = damaged | missing
    return [Damage(digest, faults[digest], sorted(named.get(digest, []))) for digest in sorted(faults)]


@contextmanager
def _checked(store: Store, pieces: Iterator[list[str]], workers: int) -> Iterator[Iterator[Piece]]:
    """Have the objects looked at; the first ones are while the others are still being listed."""
    check = partial(_check_piece, str(store.path))
    if workers == 1:
        yield map(check, list(pieces))
        return
    with ProcessPoolExecutor(workers, initializer=_leave_interrupts) as pool:
        try:
            yield pool.map(check, pieces)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _leave_interrupts() -> None:
    """Leave an interruption from the keyboard to the process that reports."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _check_piece(path: str, digests: list[str]) -> Piece:
    store, faults, total = Store(Path(path)), {}, 0
    for digest in digests:
        try:
            fault, size = store.check(digest)
        except PermissionError:
            fault, size = UNREADABLE, 0
        if fault:
            faults[digest] = fault
        total += size
    return Piece(digests, faults, total)
