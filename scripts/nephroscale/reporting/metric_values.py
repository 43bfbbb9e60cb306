"""A metric with its interval, and how dataclasses become JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from nephroscale.evaluation.intervals import Interval
    from nephroscale.evaluation.recalibration import Coefficient

INLINE: Mapping[str, bool] = {"inline": True}
"""Metadata of a field whose entries are written beside the other fields of its class."""


@overload
def rounded(value: float) -> float: ...
@overload
def rounded(value: None) -> None: ...
@overload
def rounded(value: float | None) -> float | None: ...
def rounded(value: float | None) -> float | None:
    """Round to six decimals: further digits are noise and differ between machines."""
    return None if value is None else round(float(value), 6) + 0.0


@dataclass(frozen=True)
class Estimate:
    """Value of a metric with its 95 % interval; None where it is not defined."""

    value: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, interval: Interval | Coefficient | None) -> Estimate:
        """Round a value and its interval."""
        return cls() if interval is None else cls(*map(rounded, (interval.value, interval.low, interval.high)))


def as_json(value: object) -> Any:
    """Convert dataclasses, mappings and sequences into JSON values."""
    if is_dataclass(value):
        found: dict[str, object] = {}
        for key in fields(value):
            entry = as_json(getattr(value, key.name))
            found |= entry if key.metadata.get("inline") else {key.name: entry}
        return found
    if isinstance(value, Mapping):
        return {key: as_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(entry) for entry in value]
    return value
