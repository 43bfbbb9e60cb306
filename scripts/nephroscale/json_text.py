"""JSON text with reproducible bytes: equal values give equal text."""

from __future__ import annotations

import json
from typing import TypeAlias

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
"""A value that JSON can hold."""

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: object) -> bytes:
    """Encode a JSON value for hashing: sorted keys, no spaces, UTF-8, no NaN."""
    return _CANONICAL.encode(value).encode()


def pretty_json(value: object) -> str:
    """Encode a JSON value for a file that people read: sorted keys, indented by two spaces, one final line break.

    Facts of images and fold tables are written by it, so it is part of their recipes.
    """
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
