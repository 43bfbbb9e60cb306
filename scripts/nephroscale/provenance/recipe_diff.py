"""Why two recipes differ, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# A part of a recipe, and the kind of cause that a difference in it is.
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


class Difference(NamedTuple):
    """One thing in which two recipes differ: cause (data, code, config, seed, environment, history), and a sentence."""

    cause: str
    text: str


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Compare the parts of two recipes of one stage.

    Parameters
    ----------
    before, after
        The ``parts`` of two records, or of a record and of what the code and configuration give now.

    Returns
    -------
    list of Difference
        Empty where the recipes are equal. Differing digests of inputs are among them, as data.
    """
    found = []
    for part, cause in CAUSES.items():
        for key, old, new in _leaves(before.get(part), after.get(part)):
            found.append(Difference(_cause(cause, part, key), _sentence(part, key, old, new)))
    return found


def _cause(cause: str, part: str, key: str) -> str:
    """The seed of a unit is among its settings, and so is how often the report's test folds were looked at."""
    if part == "settings" and key.startswith("looks."):
        return "history"
    return "seed" if part == "settings" and key.rpartition(".")[2] in {"seed", "seeds"} else cause


def _leaves(old: Any, new: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Walk two JSON values at once: the dotted key and both values wherever they differ; None stands for absent.

    Rows in a list are told apart by their ``id``, not by their place.
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
        for index, (left, right) in enumerate(zip(old, new, strict=True)):
            yield from _leaves(left, right, f"{key}[{index}]")
    elif old != new:
        yield key, old, new


def _by_id(value: Any) -> dict[str, Any] | None:
    """Rows by their ``id``; None for anything but a list of rows that each have one of their own."""
    if not isinstance(value, list) or not all(isinstance(row, dict) and "id" in row for row in value):
        return None
    found = {str(row["id"]): row for row in value}
    return found if len(found) == len(value) else None


def _sentence(part: str, key: str, old: Any, new: Any) -> str:
    if part == "code":
        verb = "added" if old is None else "no longer used" if new is None else "edited"
        return f"{key} was {verb}"
    if part == "inputs":
        verb = "came in" if old is None else "went out" if new is None else "changed"
        return f"the input {key} {verb}" + ("" if verb == "went out" else f" ({_short(new)})")
    if part == "rows" and key and (old is None or new is None) and isinstance(old or new, dict):
        return f"the tables' row {key} {'came' if old is None else 'went'}"
    name = {"rows": "the tables' row", "settings": "the configuration", "packages": "the package", "compute": "compute"}
    label = " ".join(word for word in (name.get(part, part), key) if word)
    return f"{label}: {_value(old)} became {_value(new)}"


def _value(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _short(value: Any) -> str:
    """A digest by its first digits; other words whole."""
    text = str(value)
    return text[:12] if len(text) == 64 and " " not in text else text
