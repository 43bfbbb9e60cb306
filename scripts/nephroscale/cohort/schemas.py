"""The schemas in workflow/schemas: what the configuration and the tables may hold, with descriptions and defaults."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from nephroscale.errors import NephroscaleError

FOLDER = Path(__file__).resolve().parents[3] / "workflow" / "schemas"


@cache
def read_schema(name: str) -> dict[str, Any]:
    """Read one schema; treat what comes back as read-only, since it is shared.

    Parameters
    ----------
    name
        ``config``, ``patients``, ``images`` or ``instruments``.

    Raises
    ------
    NephroscaleError
        When the schema is not where the repository has it.
    """
    import yaml

    path = FOLDER / f"{name}.schema.yaml"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NephroscaleError(
            f"The schema {path.name} is missing.",
            where=str(FOLDER),
            todo="Run from a complete clone of the repository, with the package installed in place (make setup).",
        ) from None
    # libyaml is ten times faster than the pure Python parser, and every job comes through here.
    schema: dict[str, Any] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    return schema


def resolve(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """Follow a schema's ``$ref`` into the root's ``$defs``; keywords beside the reference win."""
    if "$ref" not in schema:
        return schema
    target: Any = root
    for part in schema["$ref"].removeprefix("#/").split("/"):
        target = target[part]
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


def types_of(schema: dict[str, Any]) -> frozenset[str]:
    """Name the JSON types a schema allows (empty where it does not say)."""
    stated = schema.get("type", ())
    return frozenset([stated] if isinstance(stated, str) else stated)
