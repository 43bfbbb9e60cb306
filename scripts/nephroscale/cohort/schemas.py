"""The schemas in workflow/schemas: the allowed content of the configuration and of the cohort's tables."""

from __future__ import annotations

from functools import cache

from nephroscale.errors import NephroscaleError
from nephroscale.places import workflow_folder
from nephroscale.settings import Schema


@cache
def read_schema(name: str) -> Schema:
    """Read one schema. The result is shared between callers: copy it before changing it.

    Parameters
    ----------
    name
        ``config``, ``patients``, ``images``, ``instruments`` or ``readers``.

    Raises
    ------
    NephroscaleError
        When the file is missing.
    """
    import yaml

    path = workflow_folder() / "schemas" / f"{name}.schema.yaml"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NephroscaleError(
            f"The schema {path.name} is missing.",
            where=str(path.parent),
            fix="Install the package again, or run from a complete clone of the repository (make setup).",
        ) from None
    # libyaml is ten times faster than the pure Python parser, and every job reads the schemas.
    schema: Schema = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    return schema
