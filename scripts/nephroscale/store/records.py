"""Records: how each object was made, kept in the store under the digest of its recipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

import orjson

from nephroscale.json_text import JSON, pretty_json
from nephroscale.store.digest import digest_bytes, digest_json
from nephroscale.store.objects import Store
from nephroscale.store.receipts import Receipt
from nephroscale.store.recipe import Recipe

# The first two lines of a record's file; the digest is that of the file without the second line.
_HEAD = b'{\n  "digest": "%s",\n'
_HEAD_BYTES = len(_HEAD % (b"0" * 64))


class Made(TypedDict, total=False):
    """When, where and how an artifact was made.

    Attributes
    ----------
    started, run
        Start of the job, and start of the workflow run, in UTC as ISO 8601.
    seconds, store_seconds
        Duration of the job; the part of it that looking up and publishing took.
    cpu_seconds
        Processor time of all threads of the job's process, in the stage's own function alone.
    node, device, allocation
        Host, processor, and what a cluster had given the job.
    dispatch
        The code that each imported numerical library reported to have chosen for the processor; under `overridden` the
        variables that were set to other values before the run.
    peak_mb
        Peak memory of the job's process in MiB.
    git
        Commit of the code, with a plus where the working tree differed.
    adopted
        Of an artifact that later code has taken over: the `recipe` that made it, when (`on`), and how many units were
        `replayed` with equal bytes, `of` how many.
    """

    started: str
    run: str
    seconds: float
    store_seconds: float
    cpu_seconds: float
    node: str
    dispatch: dict[str, str]
    device: str
    allocation: JSON
    peak_mb: int
    git: str | None
    adopted: JSON


@dataclass(frozen=True)
class Record:
    """One run of a recipe.

    Parameters
    ----------
    recipe, receipt
        What the artifact was made from, and what came out.
    made
        When, where and how.
    agrees
        Of a later run of a known recipe: whether it gave what the first one gave. None for the first run.
    """

    recipe: Recipe
    receipt: Receipt
    made: Made
    agrees: bool | None = None

    def text(self) -> str:
        """The record's file, with a digest of its content.

        The digest can be checked by ``grep -v '^  "digest"' FILE | b3sum``.
        """
        value = {
            "recipe_digest": self.recipe.digest,
            "recipe": self.recipe.as_json(),
            "receipt": self.receipt.as_json(),
            "made": self.made,
            **({} if self.agrees is None else {"agrees": self.agrees}),
        }
        return _sealed(pretty_json(value).encode()).decode()

    @classmethod
    def from_text(cls, data: bytes) -> Record | None:
        """Read a record's file; None where any byte of it was changed, or it is something else."""
        if not is_intact(data):
            return None
        value = orjson.loads(data)
        recipe = Recipe(**value["recipe"])
        vars(recipe)["digest"] = value["recipe_digest"]  # sealed with the rest, so not computed again
        return cls(recipe, Receipt(**value["receipt"]), value["made"], value.get("agrees"))


def is_intact(data: bytes) -> bool:
    """Whether the file of a record is as it was written."""
    return data == _sealed(b"{\n" + data[_HEAD_BYTES:])


def _sealed(body: bytes) -> bytes:
    return _HEAD % digest_bytes(body).encode() + body[2:]


class Records:
    """The records of a store.

    ``records/ab/<recipe>.json`` holds the first run of a recipe; ``repeats/<recipe>-<run>.json`` every later run of the
    same recipe, and whether it agreed. A record that was changed after it was written is not used, so that its artifact
    is made again.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._reported: set[Path] = set()

    def path(self, recipe: str) -> Path:
        """The file of the record of a recipe (named by its digest), whether it exists or not."""
        return Path(self.file_name(recipe))

    def file_name(self, recipe: str) -> str:
        """As :meth:`path`, as text: the pre-pass asks for many of them."""
        return f"{self.store.path}/records/{recipe[:2]}/{recipe}.json"

    def read(self, recipe: str) -> Record | None:
        """Read the record of a recipe (named by its digest), or None."""
        record = self._read(self.path(recipe))
        return record if record and record.recipe.digest == recipe else None

    def _read(self, path: Path) -> Record | None:
        try:
            record = Record.from_text(path.read_bytes())
        except (FileNotFoundError, PermissionError):
            return None
        if record is None and path not in self._reported:
            self._reported.add(path)
            print(f"nephroscale: {path} was changed after it was written and is not used.", file=sys.stderr)
        return record

    def look_up(self, recipe: str) -> Receipt | None:
        """Look up what a recipe (named by its digest) gave; None where that is unknown or its object is not intact."""
        record = self.read(recipe)
        if record is None or (record.receipt.digest and not self.store.has(record.receipt.digest)):
            return None
        return record.receipt

    def add(self, recipe: Recipe, receipt: Receipt, made: Made) -> Receipt:
        """Keep what a recipe gave.

        The first outcome of a recipe is kept. A later one that differs is a conflict; it replaces the first one only
        where the first one's object is lost. A recipe may serve several units: differing unit names are no conflict.

        Returns
        -------
        Receipt
            The outcome to use, with the stage and unit of `receipt`.
        """
        record, path = Record(recipe, receipt, made), self.path(recipe.digest)
        if self.store.write_text(path, record.text(), replace=False):
            return receipt
        first = self.read(recipe.digest)
        if first is None:  # a damaged record, or one that this user may not read
            self.store.write_text(path, record.text())
            return receipt
        known = replace(first.receipt, stage=receipt.stage, unit=receipt.unit)
        repeat = replace(record, agrees=known == receipt)
        self.store.write_text(
            self.store.path / "repeats" / f"{recipe.digest}-{digest_json(made)[:16]}.json", repeat.text()
        )
        if known != receipt and known.digest and self.store.find(known.digest) is None:
            self.store.write_text(path, repeat.text())
            return receipt
        return known

    def all(self) -> Iterator[Record]:
        """Read every record that this user may read, in the order of the recipes' digests."""
        recipes = sorted(
            entry.name.removesuffix(".json")
            for folder in self.store.path.glob("records/*")
            for entry in os.scandir(folder)
            if entry.name.endswith(".json")
        )
        return (record for recipe in recipes if (record := self.read(recipe)))

    def repeats(self) -> list[Record]:
        """Read every later run of a known recipe, in the order of the recipes' digests."""
        return [record for path in self.repeat_paths() if (record := self._read(path))]

    def repeat_paths(self) -> list[Path]:
        """List the files of the repeats, in the order of the recipes' digests."""
        return sorted(self.store.path.glob("repeats/*.json"))

    def changed(self) -> list[str]:
        """List records and repeats that were changed after they were written: sorted paths within the store."""
        found = []
        for path in [*self.store.path.glob("records/*/*.json"), *self.repeat_paths()]:
            with suppress(FileNotFoundError, PermissionError):
                if not is_intact(path.read_bytes()):
                    found.append(path.relative_to(self.store.path).as_posix())
        return sorted(found)

    def conflicts(self) -> list[Record]:
        """List the repeats whose outcome differs from the first outcome of their recipe."""
        return [record for record in self.repeats() if not record.agrees]


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
