"""The stages in the order in which data flows. A new stage is one module here, one rule and one script."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nephroscale.engine.stage import Stage

ORDER = (
    "register",
    "reference",
    "tiles",
    "segmenter",
    "glomeruli",
    "tem",
    "features",
    "folds",
    "train",
    "temperature",
    "evaluate",
    "predict",
    "report",
    "audit",
)


def stage_table() -> dict[str, Stage]:
    """Every stage by name, in order."""
    return {name: import_module(f"nephroscale.stages.{name}").STAGE for name in ORDER}
