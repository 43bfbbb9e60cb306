"""What rules take from the stages: input functions by name, and slices of the settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nephroscale.engine.awaited import receipts_of_input
from nephroscale.engine.plan import Plan


class StageOfRule:
    """What the rule of a stage takes from it.

    Each named input of the stage is an attribute of the same name: an input function of Snakemake. While the main
    process reads the Snakefile, a name that the stage does not declare is an AttributeError, with the rule's file and
    line. A job's process does not look the names up, and so imports only the stages that the job needs.

    Parameters
    ----------
    plan
        Of the run.
    name
        Name of the stage.
    settle
        Called before each input function.
    check
        Whether to look the names up.
    """

    def __init__(self, plan: Plan, name: str, settle: Callable[[], None], *, check: bool) -> None:
        self._plan, self._name, self._settle, self._check = plan, name, settle, check

    def __getattr__(self, name: str) -> Callable[[Any], list[str]]:
        if self._check and name not in (declared := self._plan.stages[self._name].inputs):
            raise AttributeError(
                f"the stage {self._name} declares no input {name!r}; its inputs are {', '.join(declared) or 'none'}"
            )

        def receipts(wildcards: Any) -> list[str]:
            self._settle()
            return receipts_of_input(self._plan, self._name, self._unit(wildcards), name)

        return receipts

    def settings(self, wildcards: Any) -> dict[str, Any]:
        """The slice of the configuration that decides the artifact (shown by `-p`; never a reason to run)."""
        return self._plan.stages[self._name].settings(self._plan, self._unit(wildcards)).to_mapping()

    def _unit(self, wildcards: Any) -> str:
        return self._plan.stages[self._name].pattern.format(**dict(wildcards.items()))
