"""Records: how each object was made, kept in the store under the recipe."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from nephroscale.store.digest import digest_bytes, digest_json, pretty_json
from nephroscale.store.receipts import Receipt

if TYPE_CHECKING:
    from nephroscale.store.objects import Store


# The first two lines of a record; the digest is that of the file without the second.
_HEAD = b'{\n  "digest": "%s",\n'
_HEAD_BYTES = len(_HEAD % (b"0" * 64))


def seal(record: dict[str, Any]) -> str:
    """The file of a record, with a digest of all that it says: ``grep -v '^  "digest"' FILE | b3sum`` gives the same.

    It is taken of the text and not of the value: 100,000 records are checked at a start.
    """
    return _sealed(pretty_json(record).encode()).decode()


def unseal(data: bytes) -> dict[str, Any] | None:
    """The record that a file by :func:`seal` holds; None where a byte of it was changed, or it is something else."""
    if data != _sealed(b"{\n" + data[_HEAD_BYTES:]):
        return None
    record: dict[str, Any] = orjson.loads(data)
    del record["digest"]
    return record


def _sealed(body: bytes) -> bytes:
    return _HEAD % digest_bytes(body).encode() + body[2:]


class Records:
    """The records of a store.

    ``records/ab/<recipe>.json`` says what a recipe gave the first time and how; ``repeats/<recipe>-<run>.json`` keeps
    every later run of the same recipe, and whether it agreed. One that was changed after it was written is none, so
    that what it told of is made again.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._told: set[str] = set()

    def path(self, recipe: str) -> Path:
        """Where the record of a recipe lies, if it is there."""
        return Path(f"{self.store.path}/records/{recipe[:2]}/{recipe}.json")

    def read(self, recipe: str) -> dict[str, Any] | None:
        """The record of a recipe, or None."""
        record = self._read(f"{self.store.path}/records/{recipe[:2]}/{recipe}.json")
        return record if record and record["recipe"] == recipe else None

    def _read(self, path: str) -> dict[str, Any] | None:
        try:
            with open(path, "rb") as stream:  # noqa: PTH123
                record = unseal(stream.read())
        except (FileNotFoundError, PermissionError):
            return None
        if record is None and path not in self._told:
            self._told.add(path)
            print(f"nephroscale: {path} was changed after it was written and is not used.", file=sys.stderr)
        return record

    def look_up(self, recipe: str) -> Receipt | None:
        """What a recipe gave, where that is known and its object is there and sound."""
        record = self.read(recipe)
        if record is None:
            return None
        receipt = Receipt.from_json(record["receipt"])
        if receipt.digest and self.store.find(receipt.digest) is None:
            return None
        return receipt

    def add(self, recipe: str, parts: dict[str, Any], receipt: Receipt, made: dict[str, Any]) -> Receipt:
        """Keep what a recipe gave.

        The first outcome of a recipe stands. A second one that differs is a conflict; it is used only where the first
        one's object is lost. A recipe may serve several units: their names do not tell outcomes apart.

        Returns
        -------
        Receipt
            The one that stands, under the names of `receipt`.
        """
        record: dict[str, Any] = {"recipe": recipe, "parts": parts, "receipt": receipt.as_json(), "made": made}
        if self.store.write_text(self.path(recipe), seal(record), replace=False):
            return receipt
        first = self.read(recipe)
        if first is None:  # a damaged record, or one that this user may not read
            self.store.write_text(self.path(recipe), seal(record))
            return receipt
        standing = replace(Receipt.from_json(first["receipt"]), stage=receipt.stage, unit=receipt.unit)
        record["agrees"] = standing == receipt
        self.store.write_text(self.store.path / "repeats" / f"{recipe}-{digest_json(made)[:16]}.json", seal(record))
        if standing != receipt and standing.digest and self.store.find(standing.digest) is None:
            self.store.write_text(self.path(recipe), seal(record))
            return receipt
        return standing

    def all(self) -> list[dict[str, Any]]:
        """Every record that this user may read, in the order of the recipes."""
        recipes = sorted(
            entry.name.removesuffix(".json")
            for folder in self.store.path.glob("records/*")
            for entry in os.scandir(folder)
            if entry.name.endswith(".json")
        )
        return [record for recipe in recipes if (record := self.read(recipe))]

    def repeats(self) -> list[dict[str, Any]]:
        """Every later run of a recipe that was known, in the order of the recipes."""
        return [record for path in self.repeat_paths() if (record := self._read(str(path)))]

    def repeat_paths(self) -> list[Path]:
        """The files of the repeats, in the order of the recipes."""
        return sorted(self.store.path.glob("repeats/*.json"))

    def changed(self) -> list[str]:
        """Records and repeats that were changed after they were written: paths within the store, in order."""
        found = []
        for path in [*self.store.path.glob("records/*/*.json"), *self.repeat_paths()]:
            with suppress(FileNotFoundError, PermissionError):
                if unseal(path.read_bytes()) is None:
                    found.append(path.relative_to(self.store.path).as_posix())
        return sorted(found)

    def conflicts(self) -> list[dict[str, Any]]:
        """The repeats that did not agree with what their recipe had given before."""
        return [record for record in self.repeats() if not record["agrees"]]


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
