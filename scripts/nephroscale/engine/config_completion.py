"""Completing a configuration by its schema: defaults, numbers written as texts, unknown and renamed keys."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from nephroscale.cohort.files import expand_home
from nephroscale.cohort.validation_errors import nearest
from nephroscale.settings import Schema

_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_BOOLEAN = {"true": True, "false": False, "yes": True, "no": False, "on": True, "off": False}

REMOVED = {"recompute": "`snakemake --forcerun RULE` computes a stage again"}
"""Former keys, and what replaces each."""

RENAMED_TWICE = {"report.bootstrap": "report.swaps"}
"""First names of keys that were renamed twice, and their present names."""

VALUES_RENAMED = {
    "tem.remove_marks": ": true for `remove`, false for `keep`",
    "om.reference_file": "; leave it out for `cohort`",
}
"""What to write under a new name, where the values have changed too."""


class Completion:
    """Completes a configuration by its schema, and collects the faults.

    Parameters
    ----------
    schema
        The schema of the whole configuration.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.faults: list[str] = []
        self._moved = dict(_moved(schema))

    def complete(self, value: Any, schema: Schema, path: str = "") -> Any:
        """Fill in defaults at all depths and turn texts into the numbers that they mean.

        Parameters
        ----------
        value, schema
            A part of the configuration, and its schema.
        path
            Its dotted path.

        Returns
        -------
        Any
            New dictionaries and lists; the value itself is not changed.
        """
        schema = self._resolve(schema, value, path)
        types = types_of(schema)
        if value is None and "object" in types and "null" not in types:
            value = {}  # a heading with nothing under it
        if isinstance(value, Mapping) and "object" in types:
            return self._complete_object(value, schema, path)
        if isinstance(value, list | tuple) and "array" in types:
            items = schema.get("items", {})
            return [self.complete(item, items, f"{path}[{place}]") for place, item in enumerate(value)]
        value = _coerce(value, types)
        if isinstance(value, float) and not math.isfinite(value):
            self.faults.append(f"{path}: {value} is not a finite number.")
            return schema.get("minimum", 1.0)
        return value

    def _complete_object(self, value: Mapping[Any, Any], schema: Schema, path: str) -> dict[str, Any]:
        known = schema.get("properties", {})
        others = schema.get("additionalProperties", True)
        completed: dict[str, Any] = {}
        for key, described in known.items():
            here = f"{path}.{key}" if path else key
            default = self._resolve(described, {}, here)
            if key in value:
                completed[key] = self.complete(value[key], described, here)
            elif "default" in default:
                completed[key] = self.complete(copy.deepcopy(default["default"]), described, here)
        for key in value:
            here = f"{path}.{key}" if path else str(key)
            if not isinstance(key, str):
                kind = type(key).__name__
                self.faults.append(f'{here}: YAML reads this key as {kind}, not as text; write it in quotes ("...").')
            if key not in known and others is False:
                self.faults.append(self._unknown_key(str(key), known, path))
            elif key not in known:
                completed[str(key)] = self.complete(value[key], others if isinstance(others, dict) else {}, here)
        return completed

    def _resolve(self, schema: Schema, value: Any, path: str) -> Schema:
        """Follow a reference to `$defs`; of a model, take the schema of its family."""
        while "$ref" in schema:
            target: Any = self.schema
            for part in schema["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            schema = target | {keyword: stated for keyword, stated in schema.items() if keyword != "$ref"}
        if not re.fullmatch(r"models\.[^.]+", path):
            return schema
        given = value.get("family") if isinstance(value, Mapping) else None
        family = schema["properties"]["family"]["default"] if given is None else given
        families = families_of(self.schema)
        if isinstance(family, str) and family in families:
            return families[family]
        if isinstance(family, str):
            hint = nearest(family, families) or f"; choose one of {', '.join(families)}."
            self.faults.append(f"{path}.family: there is no family {family!r}{hint}")
        return schema

    def _unknown_key(self, key: str, known: Mapping[str, Schema], path: str) -> str:
        """Describe the fault of an unknown key: its new name, who reads it, or which key was probably meant."""
        here = f"{path}.{key}" if path else key
        if here in REMOVED:
            return f"{here} is not a key any more: {REMOVED[here]}."
        new = next((f"{path}.{name}" for name, described in known.items() if described.get("x-was") == key), None)
        if new := new or self._moved.get(here) or RENAMED_TWICE.get(here):
            return f"{here} is now called {new}{VALUES_RENAMED.get(new, '')}."
        if re.fullmatch(r"models\.[^.]+", path):
            families = families_of(self.schema).items()
            family = next(name for name, described in families if described["properties"] is known)
            if any(key in described["properties"] for _, described in families):
                reads = ", ".join(sorted(known))
                return f"{here}: the family {family} does not read this key; it reads {reads}."
        if hint := nearest(key, known):
            return f"{here}: unknown key{hint}"
        elsewhere = [
            name
            for name, section in self.schema["properties"].items()
            if key in section.get("properties", {}) and name != path
        ]
        if elsewhere:
            return f"{here}: unknown key; did you mean `{elsewhere[0]}.{key}`?"
        return f"{here}: unknown key; the keys here are {', '.join(known)}."


def families_of(schema: Schema) -> dict[str, Schema]:
    """Give each family of networks and the schema of an entry of `models` of that family."""
    prefix = "family-"
    return {name.removeprefix(prefix): entry for name, entry in schema["$defs"].items() if name.startswith(prefix)}


def types_of(schema: Schema) -> frozenset[str]:
    """Give the JSON types that a schema allows (empty if it does not limit them)."""
    stated = schema.get("type", ())
    return frozenset([stated] if isinstance(stated, str) else stated)


def _moved(schema: Schema, path: str = "") -> Iterator[tuple[str, str]]:
    """Give the former dotted path and the present one of each key that was in another section."""
    for key, described in schema.get("properties", {}).items():
        here = f"{path}.{key}" if path else key
        if "." in described.get("x-was", ""):
            yield described["x-was"], here
        yield from _moved(described, here)


def _coerce(value: Any, types: frozenset[str]) -> Any:
    if isinstance(value, str) and "string" in types:
        return expand_home(value)  # only paths begin with `~/`
    if isinstance(value, str) and "string" not in types:
        text = value.strip()
        if "integer" in types and _INTEGER.fullmatch(text):
            value = int(text)
        elif types & {"number", "integer"} and _NUMBER.fullmatch(text):
            value = float(text)
        elif "boolean" in types and text.casefold() in _BOOLEAN:
            return _BOOLEAN[text.casefold()]
        elif "null" in types and text.casefold() in {"", "null", "none", "~"}:
            return None
    if isinstance(value, float) and "integer" in types and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and "number" in types:
        return float(value)
    return value
