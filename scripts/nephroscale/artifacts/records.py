"""Records: how each object was made, kept in the store under the recipe."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from nephroscale.artifacts.digest import digest_json, pretty_json
from nephroscale.artifacts.receipts import Receipt

if TYPE_CHECKING:
    from nephroscale.artifacts.store import Store


class Records:
    """The records of a store.

    ``records/ab/<recipe>.json`` says what a recipe gave the first time and how; ``repeats/<recipe>-<run>.json`` keeps
    every later run of the same recipe, and whether it agreed.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def path(self, recipe: str) -> Path:
        """Where the record of a recipe lies, if it is there."""
        return Path(f"{self.store.path}/records/{recipe[:2]}/{recipe}.json")

    def read(self, recipe: str) -> dict[str, Any] | None:
        """The record of a recipe, or None."""
        try:
            with open(f"{self.store.path}/records/{recipe[:2]}/{recipe}.json", "rb") as stream:  # noqa: PTH123
                return orjson.loads(stream.read())
        except (FileNotFoundError, PermissionError, ValueError):
            return None

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
        one's object is lost.

        Returns
        -------
        Receipt
            The one that stands.
        """
        record: dict[str, Any] = {"recipe": recipe, "parts": parts, "receipt": receipt.as_json(), "made": made}
        if self.store.write_text(self.path(recipe), pretty_json(record), replace=False):
            return receipt
        first = self.read(recipe)
        if first is None:  # half a record, or one that this user may not read
            self.store.write_text(self.path(recipe), pretty_json(record))
            return receipt
        standing = Receipt.from_json(first["receipt"])
        record["agrees"] = standing == receipt
        self.store.write_text(
            self.store.path / "repeats" / f"{recipe}-{digest_json(made)[:16]}.json", pretty_json(record)
        )
        if standing != receipt and standing.digest and self.store.find(standing.digest) is None:
            self.store.write_text(self.path(recipe), pretty_json(record))
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
        return [orjson.loads(path.read_bytes()) for path in self.repeat_paths()]

    def repeat_paths(self) -> list[Path]:
        """The files of the repeats, in the order of the recipes."""
        return sorted(self.store.path.glob("repeats/*.json"))

    def conflicts(self) -> list[dict[str, Any]]:
        """The repeats that did not agree with what their recipe had given before."""
        return [record for record in self.repeats() if not record["agrees"]]


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
