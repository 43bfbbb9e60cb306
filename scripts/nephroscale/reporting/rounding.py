"""How many digits a figure of the report has."""

from __future__ import annotations


def rounded(value: float | None) -> float | None:
    """Round to six decimals: more would be noise, and no two machines would agree on it."""
    return None if value is None else round(float(value), 6) + 0.0
