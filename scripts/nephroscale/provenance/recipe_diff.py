"""The differences between two recipes, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from nephroscale.store.recipe import Recipe

# Part of a recipe to the kind of cause of a difference in it.
CAUSES = {
    "rows": "data",
    "inputs": "data",
    "code": "code",
    "format": "code",
    "settings": "config",
    "seed": "seed",
    "packages": "environment",
    "compute": "environment",
}


class RecipeDifference(NamedTuple):
    """One difference between two recipes: its cause (data, code, config, seed, environment, history) and a sentence."""

    cause: str
    text: str


class ChangedValue(NamedTuple):
    """A value that differs: the part of the recipe, its dotted key there, and both values (None: absent)."""

    part: str
    key: str
    old: object
    new: object


def changed_values(before: Recipe, after: Recipe) -> Iterator[ChangedValue]:
    """Walk two recipes of one stage together and yield every value that differs."""
    return (
        ChangedValue(part, *leaf) for part in CAUSES for leaf in _leaves(getattr(before, part), getattr(after, part))
    )


def differences(before: Recipe, after: Recipe) -> list[RecipeDifference]:
    """Compare two recipes of one stage.

    Parameters
    ----------
    before, after
        The recipes of two records, or of a record and of the present code and configuration.

    Returns
    -------
    list of RecipeDifference
        Empty where the recipes are equal. A differing digest of an input counts as data.
    """
    return [
        RecipeDifference(_cause(CAUSES[each.part], each.part, each.key), _sentence(*each))
        for each in changed_values(before, after)
    ]


def _cause(cause: str, part: str, key: str) -> str:
    """Settings also hold the seed of a unit; rows of the report, the counts of configurations scored on test folds."""
    if part == "rows" and key.startswith("test_set_uses."):
        return "history"
    return "seed" if part == "settings" and key.rpartition(".")[2] in {"seed", "seeds"} else cause


def _leaves(old: object, new: object, key: str = "") -> Iterator[tuple[str, object, object]]:
    """Walk two JSON values together: yield the dotted key and both values where they differ; None means absent.

    Rows in a list are matched by their ``id``, not by their place.
    """
    left, right = _by_id(old), _by_id(new)
    if left is not None and right is not None:
        if left == right and old != new:
            yield f"{key}.order" if key else "order", list(left), list(right)
        old, new = left, right
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            yield from _leaves(old.get(name), new.get(name), f"{key}.{name}" if key else str(name))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (first, second) in enumerate(zip(old, new, strict=True)):
            yield from _leaves(first, second, f"{key}[{index}]")
    elif old != new:
        yield key, old, new


def _by_id(value: object) -> dict[str, object] | None:
    """Rows by their ``id``; None for anything but a list of rows with distinct ids."""
    if not isinstance(value, list) or not all(isinstance(row, dict) and "id" in row for row in value):
        return None
    found: dict[str, object] = {str(row["id"]): row for row in value}
    return found if len(found) == len(value) else None


def _sentence(part: str, key: str, old: object, new: object) -> str:
    if part == "code":
        verb = "added" if old is None else "no longer used" if new is None else "edited"
        return f"{key} was {verb}"
    if part == "inputs":
        verb = "was added" if old is None else "was removed" if new is None else "changed"
        return f"the input {key} {verb}" + ("" if verb == "was removed" else f" ({_short(new)})")
    if part == "rows" and key and (old is None or new is None) and isinstance(old or new, dict):
        return f"the tables' row {key} was {'added' if old is None else 'removed'}"
    name = {"rows": "the tables' row", "settings": "the configuration", "packages": "the package", "compute": "compute"}
    label = " ".join(word for word in (name.get(part, part), key) if word)
    return f"{label}: {_value(old)} changed to {_value(new)}"


def _value(value: object) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _short(value: object) -> str:
    """Shorten a digest to its first digits; other words stay whole."""
    text = str(value)
    return text[:12] if len(text) == 64 and " " not in text else text
