"""The base of all settings: frozen dataclasses from which the schema, the defaults and the documentation are made."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import Any, Literal, Self, TypeVar, Union

JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
KEYWORDS = {
    "minimum": "minimum",
    "maximum": "maximum",
    "above": "exclusiveMinimum",
    "below": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "min_items": "minItems",
    "max_items": "maxItems",
    "unique": "uniqueItems",
    "min_keys": "minProperties",
    "keys": "propertyNames",
    "examples": "examples",
}

S = TypeVar("S", bound="Settings")


def setting(doc: str, default: Any = MISSING, *, was: str | None = None, **limits: Any) -> Any:
    """Declare one key of the configuration, as a field of a subclass of :class:`Settings`.

    Parameters
    ----------
    doc
        What the key means, with its unit; config/README.md prints it.
    default
        Its value where the configuration leaves it out; without one the key is required.
    was
        Its former name: who still uses that is told the new one.
    limits
        Of the value: ``minimum``, ``maximum``, ``above``, ``below``, ``multiple_of``, ``min_items``, ``max_items``,
        ``unique``, ``min_keys``, ``keys`` (a pattern for the names in a mapping), ``items`` (a schema of the items).
    """
    unknown = set(limits) - set(KEYWORDS) - {"items"}
    if unknown:
        raise TypeError(f"unknown limits of a setting: {', '.join(sorted(unknown))}")
    metadata = {"doc": doc, "was": was, "limits": limits}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def section(kind: type[S], doc: str = "", *, was: str | None = None) -> Any:
    """Declare a section of the configuration, whose keys are those of another class of settings.

    Parameters
    ----------
    kind
        Its class; the section is optional where every key of the class has a default.
    doc
        What the section is about; the class's docstring when left out.
    was
        Its former name.
    """
    metadata: dict[str, Any] = {"doc": doc or kind.describe(), "was": was, "limits": {}}
    required = any(_is_required(key) for key in fields(kind))
    return field(metadata=metadata) if required else field(default_factory=kind, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """Settings of one part of the workflow; a subclass is a frozen dataclass of :func:`setting` and :func:`section`."""

    @classmethod
    def describe(cls) -> str:
        """Give the first paragraph of the docstring, as one line."""
        return " ".join((cls.__doc__ or "").partition("\n\n")[0].split())

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """Give the JSON schema of these settings, with descriptions and defaults."""
        keys = {key.name: _schema_of_key(key, _hints(cls)[key.name]) for key in fields(cls)}
        required = [key.name for key in fields(cls) if _is_required(key)]
        described: dict[str, Any] = {"description": cls.describe(), "type": "object", "additionalProperties": False}
        if required:
            described["required"] = required
        else:
            described["default"] = {}
        return described | {"properties": keys}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Make settings of a mapping that fits the schema; keys that it leaves out have their defaults.

        Raises
        ------
        TypeError
            When a key is unknown, or a required one is missing.
        """
        hints: dict[str, Any] = _hints(cls)
        unknown = [key for key in mapping if key not in hints]
        if unknown:
            raise TypeError(f"{cls.__name__} has no key {', '.join(unknown)}")
        return cls(**{key: _typed(value, hints[key]) for key, value in mapping.items()})

    def to_mapping(self) -> dict[str, Any]:
        """Give the settings as JSON holds them: dictionaries, lists, texts, numbers, truth values and null."""
        return {key.name: _plain(getattr(self, key.name)) for key in fields(self)}

    def narrow(self, kind: type[S]) -> S:
        """Give only the keys of a parent class: what a function that takes that class can read."""
        return kind(**{key.name: getattr(self, key.name) for key in fields(kind)})


def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _is_required(key: Field[Any]) -> bool:
    return key.default is MISSING and key.default_factory is MISSING


def _schema_of_key(key: Field[Any], hint: Any) -> dict[str, Any]:
    limits: dict[str, Any] = key.metadata["limits"]
    schema = _schema_of_type(hint)
    if "items" in limits:
        schema["items"] = limits["items"]
    schema |= {KEYWORDS[name]: limit for name, limit in limits.items() if name in KEYWORDS}
    if isinstance(limits.get("keys"), str):
        schema["propertyNames"] = {"pattern": limits["keys"]}
    if not _is_required(key) and "default" not in schema:
        factory = key.default_factory
        schema["default"] = _plain(key.default if factory is MISSING else factory())
    return schema | {"description": key.metadata["doc"]}


def _schema_of_type(hint: Any) -> dict[str, Any]:
    """Give the JSON schema of a type hint."""
    if is_dataclass(hint):
        return typing.cast("type[Settings]", hint).schema()
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in {Union, types.UnionType}:
        return _schema_of_union(arguments)
    if origin is tuple:
        return {"type": "array", "items": _schema_of_type(arguments[0])}
    if origin in {dict, Mapping}:
        return {"type": "object", "additionalProperties": _schema_of_type(arguments[1])}
    return {} if hint is Any else {"type": JSON_TYPES[hint]}


def _schema_of_union(arguments: tuple[Any, ...]) -> dict[str, Any]:
    parts = [_schema_of_type(argument) for argument in arguments]
    if any("enum" in part for part in parts):  # a choice that may be null
        return {"enum": [choice for part in parts for choice in part.get("enum", [None])]}
    merged = {key: value for part in parts for key, value in part.items()}
    return merged | {"type": [part["type"] for part in parts]}


def _typed(value: Any, hint: Any) -> Any:
    """Turn a value as JSON has it into what the type hint says."""
    if is_dataclass(hint) and isinstance(value, Mapping):
        return typing.cast("type[Settings]", hint).from_mapping(value)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in {Union, types.UnionType}:
        if value is None:
            return None
        chosen = [a for a in arguments if a is not type(None) and _takes(a, value)]
        return _typed(value, chosen[0]) if chosen else value
    if origin is tuple:
        return tuple(_typed(item, arguments[0]) for item in value)
    if origin in {dict, Mapping}:
        return {key: _typed(item, arguments[1]) for key, item in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _takes(hint: Any, value: Any) -> bool:
    if is_dataclass(hint) or typing.get_origin(hint) in {dict, Mapping}:
        return isinstance(value, Mapping)
    if typing.get_origin(hint) is tuple:
        return isinstance(value, list | tuple)
    return not isinstance(value, Mapping | list | tuple)


def _plain(value: Any) -> Any:
    if isinstance(value, Settings):
        return value.to_mapping()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
