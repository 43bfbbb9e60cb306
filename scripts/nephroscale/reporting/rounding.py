"""Precision of the values in the report."""

from __future__ import annotations

from typing import overload


@overload
def rounded(value: float) -> float: ...
@overload
def rounded(value: None) -> None: ...
@overload
def rounded(value: float | None) -> float | None: ...
def rounded(value: float | None) -> float | None:
    """Round to six decimals: further digits are noise and differ between machines."""
    return None if value is None else round(float(value), 6) + 0.0
