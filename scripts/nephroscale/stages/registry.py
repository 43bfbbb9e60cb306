"""The stages in the order in which data flows. A new stage is one module here, one rule and one script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from nephroscale.engine.stage import Stage

ORDER = (
    "register",
    "reference",
    "tiles",
    "segmenter",
    "segmenter_im",
    "segmenter_check",
    "glomeruli",
    "tem",
    "features",
    "folds",
    "deposit_folds",
    "deposit_priors",
    "train",
    "temperature",
    "evaluate",
    "predict",
    "deposit_models",
    "deposit_predictions",
    "new_deposits",
    "new_cases",
    "deposits",
    "report",
    "audit",
)


class _StageTable(Mapping[str, "Stage"]):
    """Imports a stage when it is asked for: a job needs few of them."""

    def __init__(self) -> None:
        self._known: dict[str, Stage] = {}

    def __getitem__(self, name: str) -> Stage:
        if name not in self._known:
            if name not in ORDER:
                raise KeyError(name)
            self._known[name] = import_module(f"nephroscale.stages.{name}").STAGE
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(ORDER)

    def __len__(self) -> int:
        return len(ORDER)

    def __contains__(self, name: object) -> bool:
        return name in ORDER


def stage_table() -> Mapping[str, Stage]:
    """Every stage by name, in order."""
    return _StageTable()
