"""A substitute for a job, with named inputs written by a test."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from nephroscale.engine.job import JobInput
from nephroscale.store.receipts import Receipt


def accepted(stage: str, unit: str, path: Path | None = None, **figures: Any) -> JobInput:
    """An input that was accepted; its object is `<stage>/<unit>` unless a path is given."""
    return JobInput(unit, Receipt(stage, unit, "accepted", figures=figures), path or Path(stage) / unit)


def rejected(stage: str, unit: str, reason: str, **figures: Any) -> JobInput:
    """An input that was rejected."""
    return JobInput(unit, Receipt(stage, unit, "rejected", reason, figures=figures), None)


class FakeJob:
    """The methods of a job that stages call."""

    def __init__(self, unit: str, *, settings: Any = None, rows: Any = None, plan: Any = None, **inputs: Any) -> None:
        self.unit, self.settings, self.rows, self.plan = unit, settings, rows, plan
        self._inputs: dict[str, list[JobInput]] = inputs

    def inputs(self, name: str) -> list[JobInput]:
        return self._inputs[name]

    def input(self, name: str) -> JobInput:
        (found,) = self._inputs[name]
        return found


def plan_with_images(**columns: Any) -> Any:
    """A plan whose cohort has only images: image id to its stain (OM) or marker (IM)."""
    images = {name.replace("_", "-"): SimpleNamespace(stain=value, marker=value) for name, value in columns.items()}
    return SimpleNamespace(cohort=SimpleNamespace(images=images))
