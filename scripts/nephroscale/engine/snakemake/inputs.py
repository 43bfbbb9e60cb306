"""What rules take from the stages: input functions by name, and slices of the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from nephroscale.engine.plan import Plan


class StageOfRule:
    """What the rule of a stage takes from it.

    Each named input of the stage is an attribute of the same name: an input function of Snakemake. A name that the
    stage does not declare is an AttributeError while the Snakefile is read, with the rule's file and line.

    Parameters
    ----------
    plan
        Of the run.
    stage
        Name of the stage.
    """

    def __init__(self, plan: Plan, stage: str) -> None:
        self._plan, self._stage = plan, plan.stages[stage]

    def __getattr__(self, name: str) -> Callable[[Any], list[str]]:
        stage = self._stage
        if name not in stage.inputs:
            declared = ", ".join(stage.inputs) or "none"
            raise AttributeError(f"the stage {stage.name} declares no input {name!r}; its inputs are {declared}")

        def receipts(wildcards: Any) -> list[str]:
            return self._plan.receipts_awaited(stage.name, self._unit(wildcards), name)

        return receipts

    def settings(self, wildcards: Any) -> dict[str, Any]:
        """The slice of the configuration that decides the artifact (shown by `-p`; never a reason to run)."""
        return self._stage.settings(self._plan, self._unit(wildcards)).to_mapping()

    def _unit(self, wildcards: Any) -> str:
        return self._stage.pattern.format(**dict(wildcards.items()))
