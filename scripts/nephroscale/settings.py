"""The base of all settings: frozen dataclasses that give the schema, the defaults and the documentation."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import Any, Literal, Self, TypeVar, Union

from nephroscale.collect import Kept

JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
LIMITS = {
    "minimum": "minimum",
    "maximum": "maximum",
    "above": "exclusiveMinimum",
    "below": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "min_items": "minItems",
    "max_items": "maxItems",
    "unique": "uniqueItems",
    "min_keys": "minProperties",
    "examples": "examples",
}

Schema = dict[str, Any]
"""A JSON schema, or a part of one."""

_HINTS: Kept[type, dict[str, Any]] = Kept(typing.get_type_hints)

S = TypeVar("S", bound="Settings")


def setting(doc: str, default: Any = MISSING, *, was: str | None = None, **limits: Any) -> Any:
    """Declare one key of the configuration, as a field of a subclass of :class:`Settings`.

    Parameters
    ----------
    doc
        What the key means, with its unit, for config/README.md.
    default
        Its value where the configuration leaves it out. A key without a default is required.
    was
        Its former name, or its former dotted path (``glomeruli.width``) if it was in another section. A configuration
        with that name gets a message with the new one.
    limits
        Limits of the value: ``minimum``, ``maximum``, ``above``, ``below``, ``multiple_of``, ``min_items``,
        ``max_items``, ``unique``, ``min_keys``, ``keys`` (a pattern for the names in a mapping), ``items`` and
        ``values`` (JSON-schema keywords for the items of a list and for the values of a mapping).

    Raises
    ------
    TypeError
        When there is no such limit.
    """
    unknown = set(limits) - set(LIMITS) - {"keys", "items", "values"}
    if unknown:
        raise TypeError(f"unknown limits of a setting: {', '.join(sorted(unknown))}")
    metadata = {"doc": doc, "was": was, "limits": limits}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def section(kind: type[S], doc: str = "") -> Any:
    """Declare a section of the configuration: its keys are those of another class of settings.

    Parameters
    ----------
    kind
        Its class; the section is optional if every key of the class has a default.
    doc
        What the section is about; the first paragraph of the class's docstring when left out.
    """
    metadata: Schema = {"doc": doc or kind.describe(), "was": None, "limits": {}}
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
    def schema(cls) -> Schema:
        """Give the JSON schema of these settings, with descriptions, defaults and former names (``x-was``)."""
        hints = _HINTS[cls]
        keys = {key.name: _schema_of_key(key, hints[key.name]) for key in fields(cls)}
        required = [key.name for key in fields(cls) if _is_required(key)]
        described: Schema = {"description": cls.describe(), "type": "object", "additionalProperties": False}
        optional: Schema = {"required": required} if required else {"default": {}}
        return described | optional | {"properties": keys}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Make settings of a mapping that fits the schema; keys that it leaves out have their defaults.

        Raises
        ------
        TypeError
            When a key is unknown, or a required one is missing.
        """
        hints = _HINTS[cls]
        unknown = [key for key in mapping if key not in hints]
        if unknown:
            raise TypeError(f"{cls.__name__} has no key {', '.join(unknown)}")
        return cls(**{key: _typed(value, hints[key]) for key, value in mapping.items()})

    def to_mapping(self) -> dict[str, Any]:
        """Give the settings as JSON has them: dictionaries, lists, texts, numbers, truth values and null."""
        return {key.name: _plain(getattr(self, key.name)) for key in fields(self)}

    def narrow(self, kind: type[S]) -> S:
        """Give only the keys of a parent class, as a recipe records them for a stage that reads no others."""
        return kind(**{key.name: getattr(self, key.name) for key in fields(kind)})


def _is_required(key: Field[Any]) -> bool:
    return key.default is MISSING and key.default_factory is MISSING


def _schema_of_key(key: Field[Any], hint: Any) -> Schema:
    limits: Schema = key.metadata["limits"]
    schema = _schema_of_type(hint)
    for part, keyword in (("items", "items"), ("values", "additionalProperties")):
        if part in limits:
            schema[keyword] = schema[keyword] | limits[part]
    schema |= {keyword: limits[name] for name, keyword in LIMITS.items() if name in limits}
    if "keys" in limits:
        schema["propertyNames"] = {"pattern": limits["keys"]}
    if key.default is not MISSING:
        schema["default"] = _plain(key.default)
    elif key.default_factory is not MISSING and "default" not in schema:
        schema["default"] = _plain(key.default_factory())
    if key.metadata["was"]:
        schema["x-was"] = key.metadata["was"]
    return schema | {"description": key.metadata["doc"]}


def _schema_of_type(hint: Any) -> Schema:
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
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _schema_of_type(arguments[1])}
    return {} if hint is Any else {"type": JSON_TYPES[hint]}


def _schema_of_union(arguments: tuple[Any, ...]) -> Schema:
    parts = [_schema_of_type(argument) for argument in arguments]
    if any("enum" in part for part in parts):  # a choice that may be null
        return {"enum": [choice for part in parts for choice in part.get("enum", [None])]}
    return {key: value for part in parts for key, value in part.items()} | {"type": [part["type"] for part in parts]}


def _typed(value: Any, hint: Any) -> Any:
    """Turn a value as JSON has it into one of the hinted type."""
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
    if origin is Mapping:
        return {key: _typed(item, arguments[1]) for key, item in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _takes(hint: Any, value: Any) -> bool:
    if is_dataclass(hint) or typing.get_origin(hint) is Mapping:
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
