"""The pre-pass inside Snakemake: a run writes what was found, every other call is answered from memory.

Snakemake knows whether it will run jobs only after the Snakefile is read, when it calls the first input function.
"""

from __future__ import annotations

from typing import Any

from snakemake_interface_storage_plugins.io import Mtime

from nephroscale.engine.plan import Plan
from nephroscale.engine.prepass import apply, find_out
from nephroscale.engine.snakemake.stale_lock import snakemake_is_locked
from nephroscale.errors import NephroscaleError


class PrePass:
    """What was found out about a plan, to be settled in the first input function that Snakemake calls.

    Parameters
    ----------
    workflow
        Snakemake's object. Of its own interface `is_main_process`, `executor_plugin`, `dryrun`, `touch`, `iocache`,
        `scheduling_settings` and `rules` are used (Snakemake 9).
    plan
        Of the run.
    """

    def __init__(self, workflow: Any, plan: Plan) -> None:
        self._workflow, self._plan = workflow, plan
        self._found = find_out(plan) if workflow.is_main_process else None

    def settle(self) -> None:
        """Bring the disk, or what Snakemake believes of it, to what was found; only the first call does anything."""
        found, self._found = self._found, None
        if found is None:
            return
        workflow = self._workflow
        runs = workflow.executor_plugin is not None and not workflow.dryrun and not workflow.touch
        if runs and not snakemake_is_locked():  # else another run works in this folder
            apply(self._plan, found)
            workflow.iocache.clear()
            _lift_default_rate(workflow.scheduling_settings)
            return
        cache = workflow.iocache
        cache.remaining_wait_time = 0  # no inventory of folders, which would bring back what counts as absent
        for path, time_ns in found.files(self._plan):
            cache.exists_local[path] = time_ns is not None
            if time_ns is not None:
                cache.mtime[path] = Mtime(local=time_ns / 1e9)

    def check_rules(self) -> None:
        """Raise where a rule has no input function: it would be planned before anything is settled."""
        for rule in self._workflow.rules:
            if not any(callable(each) for each in rule.input):
                raise NephroscaleError(
                    "A rule has no input function.",
                    where=f"rule {rule.name}",
                    fix="Define its inputs by `stage_of_rule`, or give it the input function `no_input`.",
                )


def _lift_default_rate(settings: Any) -> None:
    """Take away the limit of 100 jobs a second that nobody has asked for.

    With any limit, Snakemake 9.27 starts a timer at each look for jobs, and each timer leads to another look and
    another timer: after 300 jobs these looks took a third of a core. A limit that somebody gives stays.
    """
    limit = settings.max_jobs_per_timespan
    if limit and (limit.max_jobs, limit.timespan) == (100, 1):
        settings.max_jobs_per_timespan = None
