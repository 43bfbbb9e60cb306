"""A check for tests: a job that opens an object which its stage does not declare as an input fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nephroscale.engine.plan import Plan
from nephroscale.engine.stage import STATUS, Stage
from nephroscale.errors import NephroscaleError

VARIABLE = "NEPHROSCALE_CHECK_INPUTS"


class _Check:
    """What the job that runs now may open; an audit hook cannot be removed, so one serves all jobs of the process."""

    def __init__(self) -> None:
        self.hooked = False
        self.objects: Path | None = None
        self.declared: set[str] = set()
        self.where = ""
        self.fault: NephroscaleError | None = None

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if event != "open" or self.objects is None or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        path = Path(os.fsdecode(arguments[0])).resolve()
        if path.is_relative_to(self.objects) and self.declared.isdisjoint(path.relative_to(self.objects).parts):
            self.fault = NephroscaleError(
                f"{self.where} opens an object that its stage does not declare.",
                where=str(path),
                fix="Declare it by @need in the stage, and read it by job.input or job.inputs.",
            )
            raise self.fault


_check = _Check()


@contextmanager
def check_opens(plan: Plan, stage: Stage, unit: str) -> Iterator[None]:
    """While a unit is made, raise an error if it opens an object of the store that is not a declared input.

    Nothing is checked unless the environment variable ``NEPHROSCALE_CHECK_INPUTS`` is 1, as in the tests. Files that a
    library opens without Python are not seen.

    Raises
    ------
    NephroscaleError
        When an undeclared object was opened, even if the stage has caught the error.
    """
    if os.environ.get(VARIABLE) != "1":
        yield
        return
    if not _check.hooked:
        sys.addaudithook(_check)
        _check.hooked = True
    _check.declared = {r.digest for key in _readable(plan, stage, unit) if (r := plan.receipt(*key)) and r.digest}
    _check.where, _check.fault = f"{stage.name} of {unit}", None
    _check.objects = (plan.store.path / "objects").resolve()
    try:
        yield
    finally:
        _check.objects = None
    if _check.fault:
        raise _check.fault


def _readable(plan: Plan, stage: Stage, unit: str) -> Iterator[tuple[str, str]]:
    """The artifacts whose objects a unit may open."""
    if stage.reads_records:
        yield from ((other, each) for other in plan.stages_before(stage.name) for each in plan.units(other))
    else:
        yield from (need[:2] for need in stage.needs(plan, unit) if need.part != STATUS)
