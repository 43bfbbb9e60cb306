"""The configuration: checked against its schema, with every default filled in."""

from __future__ import annotations

import copy
import math
import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING, Any

from nephroscale.cohort.schemas import read_schema, resolve, types_of
from nephroscale.cohort.tasks import expand_task
from nephroscale.cohort.validation_errors import nearest
from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

LEFT_OUT = ("exclude", "ambiguous")
"""What a label text may mean besides a class."""

RESERVED_COLUMNS = ("patient_id", "use", "reason", "group")
"""Columns of patients.csv that cannot be the label."""

_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_BOOLEAN = {"true": True, "false": False, "yes": True, "no": False, "on": True, "off": False}


@cache
def config_schema() -> dict[str, Any]:
    """Give the configuration's schema, in which a model's ``train`` allows the keys of ``train``, without defaults."""
    schema = copy.deepcopy(read_schema("config"))
    keys = {}
    for key, value in schema["properties"]["train"]["properties"].items():
        keys[key] = {keyword: stated for keyword, stated in value.items() if keyword != "default"}
    overrides = schema["$defs"]["model"]["properties"]["train"]
    overrides.update(properties=keys, additionalProperties=False)
    return schema


def load_config(
    mapping: Mapping[str, Any], reads: Mapping[str, Collection[str]] | None = None, common: Collection[str] = ()
) -> dict[str, Any]:
    """Check a configuration and fill in what it leaves out.

    Parameters
    ----------
    mapping
        The configuration as Snakemake hands it on: parsed YAML, with numbers from the command line perhaps as texts.
    reads, common
        Which keys of an entry of ``models`` each family reads, and which every entry has
        (:mod:`nephroscale.models.registry`): others are faults, and are not filled in. Left out, nothing is said of it.

    Returns
    -------
    dict
        A new dictionary with every key of the schema, defaults filled in at all depths. ``number`` keys are float
        and ``integer`` keys int, however they were written, so that equal settings give equal recipes. Loading it
        again changes nothing.

    Raises
    ------
    NephroscaleError
        Naming every fault: the key's path, what is wrong, and what to do.
    """
    from jsonschema import Draft202012Validator

    mapping = expand_task(mapping)
    schema = config_schema()
    faults: list[str] = []
    if not hasattr(mapping, "items"):
        raise NephroscaleError("The configuration is not a mapping of keys.", todo="Write `key: value` lines (YAML).")
    filled = _complete(mapping, schema, "", faults)
    if reads is not None:
        _leave_to_families(filled, mapping, reads, common, faults)
    errors = sorted(Draft202012Validator(schema).iter_errors(filled), key=lambda error: _dotted(error.absolute_path))
    faults += [_told(error) for error in errors]
    if not errors:
        faults += _contradictions(filled)
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise NephroscaleError(
            f"The configuration has {count}:\n" + "\n".join(f"  - {fault}" for fault in faults),
            where="the file given by --configfile, and --config",
            todo="Mend these keys; config/README.md explains every one.",
        )
    return filled


def class_names(task: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the classes of a task, in the order of their first mention in ``task.classes``."""
    meanings = [meaning for meaning in task["classes"].values() if isinstance(meaning, str)]
    return tuple(dict.fromkeys(meaning for meaning in meanings if meaning not in LEFT_OUT))


def _complete(value: Any, schema: dict[str, Any], path: str, faults: list[str]) -> Any:
    """Fill defaults and turn texts into the numbers they stand for; note unknown keys."""
    root = config_schema()
    schema = resolve(schema, root)
    types = types_of(schema)
    if value is None and "object" in types and "null" not in types:
        value = {}  # a heading with nothing under it
    if hasattr(value, "items") and "object" in types:
        return _complete_object(value, schema, path, faults)
    if isinstance(value, list | tuple) and "array" in types:
        items = schema.get("items", {})
        return [_complete(item, items, f"{path}[{place}]", faults) for place, item in enumerate(value)]
    value = _coerce(value, types)
    if isinstance(value, float) and not math.isfinite(value):
        faults.append(f"{path}: {value} is not a finite number.")
        return schema.get("minimum", 1.0)
    return value


def _complete_object(value: Any, schema: dict[str, Any], path: str, faults: list[str]) -> dict[str, Any]:
    known = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    completed: dict[str, Any] = {}
    for key, default in known.items():
        here = f"{path}.{key}" if path else key
        default_schema = resolve(default, config_schema())
        if key in value:
            completed[key] = _complete(value[key], default, here, faults)
        elif "default" in default_schema:
            completed[key] = _complete(copy.deepcopy(default_schema["default"]), default, here, faults)
    for key in value:
        here = f"{path}.{key}" if path else str(key)
        if not isinstance(key, str):
            what = f"YAML reads this key as {type(key).__name__}, not as text; write it in quotes"
            faults.append(f'{here}: {what} ("...").')
        if key in known:
            continue
        if others is False:
            faults.append(f"{here}: unknown key{_suggestion(str(key), known, path)}")
        else:
            inner = others if isinstance(others, dict) else {}
            completed[str(key)] = _complete(value[key], inner, here, faults)
    return _normal_classes(completed, faults) if path == "task.classes" else completed


def _leave_to_families(
    filled: dict[str, Any],
    given: Mapping[str, Any],
    reads: Mapping[str, Collection[str]],
    common: Collection[str],
    faults: list[str],
) -> None:
    """Take the keys from each model that its family does not read, and note those that were given all the same."""
    known = config_schema()["$defs"]["model"]["properties"]
    entries = given.get("models") or {}
    for name, model in filled["models"].items() if isinstance(filled["models"], dict) else ():
        if not isinstance(model, dict) or not isinstance(model["family"], str):
            continue  # the schema's errors tell of these
        family = model["family"]
        if family not in reads:
            hint = nearest(family, reads) or f"; choose one of {', '.join(reads)}."
            faults.append(f"models.{name}.family: there is no family {family!r}{hint}")
            continue
        mine = {*reads[family], *common}
        for key in known.keys() - mine:
            model.pop(key, None)
        faults += [
            f"models.{name}.{key}: the family {family} does not read this key; it reads {', '.join(sorted(mine))}."
            for key in entries.get(name) or ()
            if key in known and key not in mine
        ]


def _normal_classes(classes: dict[str, Any], faults: list[str]) -> dict[str, Any]:
    """Write label texts as table cells are read: trimmed and composed (NFC), or they would never match."""
    normal: dict[str, Any] = {}
    for text, meaning in classes.items():
        cell = unicodedata.normalize("NFC", text).strip()
        if cell in normal:
            faults.append(f"task.classes.{cell}: given twice, apart from spaces or Unicode form; keep one.")
        normal[cell] = [_normal(m) for m in meaning] if isinstance(meaning, list) else _normal(meaning)
    return normal


def _normal(meaning: Any) -> Any:
    return unicodedata.normalize("NFC", meaning).strip() if isinstance(meaning, str) else meaning


def _coerce(value: Any, types: frozenset[str]) -> Any:
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


def _suggestion(key: str, known: Mapping[str, Any], path: str) -> str:
    """Say which key was meant: the nearest here, or one of that very name in another section."""
    if hint := nearest(key, known):
        return hint
    sections = config_schema()["properties"].items()
    elsewhere = [name for name, section in sections if key in section.get("properties", {}) and name != path]
    if elsewhere:
        return f"; did you mean `{elsewhere[0]}.{key}`?"
    return f"; the keys here are {', '.join(known)}."


def _dotted(path: Any) -> str:
    dotted = ""
    for part in path:
        dotted += f"[{part}]" if isinstance(part, int) else f".{part}"
    return dotted.lstrip(".")


def _told(error: Any) -> str:
    """Tell one of jsonschema's errors in the words of someone who writes the configuration."""
    path, keyword, limit, value = _dotted(error.absolute_path), error.validator, error.validator_value, error.instance
    if keyword == "required":  # jsonschema tells each missing key apart, but names it in its message only
        missing = next(key for key in limit if key not in value and repr(key) in error.message)
        return f"{path + '.' if path else ''}{missing}: is missing and has no default; add it."
    if "propertyNames" in error.absolute_schema_path:
        return f"{path}: the name {value!r} does not fit; use small letters, digits and hyphens."
    told = {
        "type": lambda: f"is {_kind(value)}, but has to be {_wanted(limit)}",
        "enum": lambda: f"is not one of {', '.join(map(str, limit))}",
        "minimum": lambda: f"is less than {limit}",
        "maximum": lambda: f"is more than {limit}",
        "exclusiveMinimum": lambda: f"has to be more than {limit}",
        "exclusiveMaximum": lambda: f"has to be less than {limit}",
        "multipleOf": lambda: f"is not a multiple of {limit}",
        "minItems": lambda: f"needs at least {limit} entry",
        "minProperties": lambda: f"needs at least {limit} entries",
        "uniqueItems": lambda: "names something twice",
    }
    return f"{path}: {value!r} {told[keyword]() if keyword in told else error.message}."


def _kind(value: Any) -> str:
    kinds = {
        bool: "a truth value",
        str: "a text",
        int: "a number",
        float: "a number",
        dict: "a mapping",
        list: "a list",
    }
    return kinds.get(type(value), "empty" if value is None else type(value).__name__)


def _wanted(types: Any) -> str:
    names = {
        "string": "a text (in quotes, if YAML takes it for something else)",
        "integer": "a whole number",
        "number": "a number",
        "boolean": "true or false",
        "array": "a list",
        "object": "a mapping of keys",
        "null": "null",
    }
    return " or ".join(names[name] for name in ([types] if isinstance(types, str) else types))


def _contradictions(config: dict[str, Any]) -> list[str]:
    """Find keys that are well-formed each but cannot hold together."""
    task, glomeruli, models = config["task"], config["glomeruli"], config["models"]
    faults = []
    if len(classes := class_names(task)) < 2:
        faults.append(
            f"task.classes: maps to {len(classes)} class ({', '.join(classes) or 'none'}); at least two are needed."
        )
    if task["label"] in RESERVED_COLUMNS:
        faults.append(f"task.label: {task['label']!r} is a column with a meaning of its own; name another.")
    for text, meaning in task["classes"].items():
        if isinstance(meaning, list):
            faults += _not_between(text, meaning, classes, task)
        elif not text or not meaning:
            faults.append(f"task.classes.{text}: {meaning!r}: neither the text nor its class may be empty.")
        elif meaning not in LEFT_OUT and meaning.casefold() in LEFT_OUT:
            faults.append(f"task.classes.{text}: {meaning!r} is written {meaning.casefold()!r}.")
    for key, names in (("om.stains", config["om"]["stains"]), ("im.panel", config["im"]["panel"])):
        faults += [f"{key}: {name} is named twice." for name in dict.fromkeys(names) if names.count(name) > 1]
    if glomeruli["minimum_diameter_um"] >= glomeruli["maximum_diameter_um"]:
        faults.append("glomeruli.minimum_diameter_um: has to be less than glomeruli.maximum_diameter_um.")
    new = config["predict"]
    if (new["patients"] is None) != (new["images"] is None):
        faults.append("predict: new patients need both tables, predict.patients and predict.images.")
    faults += [
        f"predict.models: there is no model {n!r} under models{nearest(n, models)}"
        for n in new["models"]
        if n not in models
    ]
    headline = config["report"]["headline"]
    if headline is not None and headline not in models:
        faults.append(f"report.headline: there is no model {headline!r} under models{nearest(headline, models)}")
    return faults


def _not_between(text: str, meaning: list[str], classes: tuple[str, ...], task: Mapping[str, Any]) -> list[str]:
    """Find out why a label cannot lie between two classes."""
    where = f"task.classes.{text}"
    if not task["ordinal"]:
        return [
            f"{where}: lies between two classes, which have an order in an ordinal task alone (task.ordinal: true)."
        ]
    if unknown := [name for name in meaning if name not in classes]:
        return [f"{where}: {' and '.join(unknown)} is none of the classes {', '.join(classes)}."]
    if classes.index(meaning[1]) - classes.index(meaning[0]) != 1:
        return [f"{where}: {meaning[0]} and {meaning[1]} are not neighbours, the lower one first."]
    return []
