"""Messages about faults of a configuration, with the names of its keys and types as users write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nephroscale.errors import NephroscaleError
from nephroscale.text import count_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jsonschema import ValidationError


#: Former values, and what they are now.
VALUES_NOW = {
    ("compute.instruction_set", "auto"): "`native`; the default, `portable`, computes the same on all processors",
    **dict.fromkeys(
        (("compute.instruction_set", name) for name in ("DEFAULT", "AVX2", "AVX512")),
        "`portable`, for all libraries and processors",
    ),
}


def raise_faults(faults: Sequence[str]) -> None:
    """Raise one error that lists every fault of a configuration, if there is any.

    Raises
    ------
    NephroscaleError
        When there is a fault.
    """
    if faults:
        raise NephroscaleError(
            f"The configuration has {count_of(len(faults), 'fault')}:\n"
            + "\n".join(f"  - {fault}" for fault in faults),
            where="configuration",
            fix="Fix these keys; config/README.md explains every one.",
        )


def dotted(path: Iterable[str | int]) -> str:
    """Write the path of a key as in ``train.seeds[0]``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def describe(error: ValidationError) -> str:
    """Describe an error of jsonschema: the key's path, its value, and what is wrong."""
    path, keyword = dotted(error.absolute_path), str(error.validator)
    value: Any = error.instance
    limit: Any = error.validator_value
    if keyword == "required":  # one error for each missing key, which only the message names
        missing = next(key for key in limit if key not in value and repr(key) in error.message)
        return f"{path + '.' if path else ''}{missing}: is missing and has no default; add it."
    if "propertyNames" in error.absolute_schema_path:
        return f"{path}: the name {value!r} does not fit; use small letters, digits and hyphens."
    if keyword == "type":
        return f"{path}: {value!r} is {_kind(value)}, but has to be {_wanted(limit)}."
    if keyword == "enum":
        if (path, str(value)) in VALUES_NOW:
            return f"{path}: {value} is now {VALUES_NOW[path, str(value)]}."
        return f"{path}: {value!r} is not one of {', '.join(map(str, limit))}."
    wording = {
        "minimum": f"is less than {limit}",
        "maximum": f"is more than {limit}",
        "exclusiveMinimum": f"has to be more than {limit}",
        "exclusiveMaximum": f"has to be less than {limit}",
        "multipleOf": f"is not a multiple of {limit}",
        "minItems": f"needs at least {limit} {'entry' if limit == 1 else 'entries'}",
        "maxItems": f"has more than {limit} entries",
        "minProperties": f"needs at least {limit} {'entry' if limit == 1 else 'entries'}",
        "uniqueItems": "names something twice",
    }
    return f"{path}: {value!r} {wording.get(keyword, error.message)}."


def _kind(value: object) -> str:
    kinds = {
        bool: "a truth value",
        str: "a text",
        int: "a number",
        float: "a number",
        dict: "a mapping",
        list: "a list",
        type(None): "empty",
    }
    return kinds.get(type(value), type(value).__name__)


def _wanted(types: str | Sequence[str]) -> str:
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
