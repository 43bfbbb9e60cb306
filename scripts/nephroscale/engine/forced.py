"""Units that a run makes again although their artifacts are known (`--forcerun`, `-F`)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

VARIABLE = "NEPHROSCALE_FORCED"
ALL_UNITS = "*"


@dataclass(frozen=True)
class Forced:
    """Units to make again, as `<stage>/<unit>`; `<stage>/*` are all units of a stage."""

    names: frozenset[str] = frozenset()

    @classmethod
    def of(cls, units: Iterable[tuple[str, str]]) -> Forced:
        """Collect pairs of stage and unit."""
        return cls(frozenset(f"{stage}/{unit}" for stage, unit in units))

    @classmethod
    def from_environment(cls) -> Forced:
        """Read what the main process of the run has exported."""
        return cls(frozenset(os.environ.get(VARIABLE, "").split()))

    def export(self) -> None:
        """Let the jobs of this run know it, on this machine and on a cluster."""
        os.environ[VARIABLE] = " ".join(sorted(self.names))

    def __contains__(self, key: tuple[str, str]) -> bool:
        stage, unit = key
        return bool(self.names) and not self.names.isdisjoint({f"{stage}/{ALL_UNITS}", f"{stage}/{unit}"})
