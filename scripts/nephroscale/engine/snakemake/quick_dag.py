"""Steps of Snakemake's plan that are the same for all jobs, or that a dry run can do without.

Each gives what Snakemake's own function gives, or calls it: where something might be wrong, and where groups,
checkpoints or queues are planned.
"""

# ruff: noqa: SLF001  (Snakemake has no interface for this)

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import Any

from nephroscale.engine.snakemake import screen
from nephroscale.engine.snakemake.quick_resources import is_same_for_rule


def quicken_dag(*, listed: bool) -> None:
    """Let Snakemake 9.27.1 plan faster in this process.

    Parameters
    ----------
    listed
        Whether our screen alone prints this run, which only counts the jobs of a dry run.
    """
    from snakemake.dag import DAG
    from snakemake.jobs import Job
    from snakemake.output_index import OutputIndex
    from snakemake.scheduling.job_scheduler import JobScheduler

    OutputIndex.match = match_rules(OutputIndex.match)
    Job.check_protected_output = protected_output
    Job.output_mintime = property(output_mintime)
    DAG.check_directory_outputs = check_directory_outputs(DAG.check_directory_outputs)
    if listed:
        JobScheduler.schedule = list_jobs(JobScheduler.schedule)


def match_rules(before: Callable[[Any, str], set[Any]]) -> Callable[[Any, str], set[Any]]:
    """Find the rules whose outputs have a file's prefix and suffix; files of a folder share most prefixes."""

    @wraps(before)
    def match(self: Any, targetfile: str) -> set[Any]:
        path = str(targetfile)
        folder = path[: path.rfind("/") + 1]
        known = self.__dict__.setdefault("by_folder", {})
        if folder not in known:
            entries = [(prefix, *each) for prefix, found in self._lookup._entries for each in found]
            known[folder] = (
                [(rule, suffix) for prefix, rule, suffix in entries if folder.startswith(prefix)],
                [each for each in entries if len(each[0]) > len(folder) and each[0].startswith(folder)],
            )
        of_folder, longer = known[folder]
        found = {rule for rule, suffix in of_folder if path.endswith(suffix)}
        found.update(rule for prefix, rule, suffix in longer if path.startswith(prefix) and path.endswith(suffix))
        return found

    return match


async def protected_output(job: Any) -> None:
    """Raise if a file that a job would write is protected, by one question after the other."""
    from snakemake.exceptions import ProtectedOutputException

    if protected := [each for each in job.output if await each.protected()]:
        raise ProtectedOutputException(job, protected)


async def output_mintime(job: Any) -> float | None:
    """The time of a job's oldest output, its benchmark file included; None where it has none."""
    files = [*job.output, *([job.benchmark] if job.benchmark else [])]
    return min([(await each.mtime()).local_or_storage() for each in files if await each.exists()], default=None)


def check_directory_outputs(before: Callable[[Any], None]) -> Callable[[Any], None]:
    """Look for outputs within other outputs only if an output is a folder of another one."""

    @wraps(before)
    def check(self: Any) -> None:
        outputs = {os.path.abspath(file) for job in self.jobs for file in job.output}  # noqa: PTH100
        folders = {os.path.dirname(each) for each in outputs}  # noqa: PTH120
        while folders:
            if not outputs.isdisjoint(folders):
                before(self)
                return
            folders = {above for each in folders if (above := os.path.dirname(each)) != each}  # noqa: PTH120

    return check


def list_jobs(before: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Give the jobs of a dry run to our screen, without pretending to run one after the other."""

    @wraps(before)
    def schedule(self: Any) -> bool:
        dag = self.workflow.dag
        jobs = [*dag.needrun_jobs()]
        if not self.dryrun or dag.checkpoint_jobs or dag.queue_input_jobs or any(job.group is not None for job in jobs):
            return before(self)
        evaluated = set()
        for job in jobs:
            if job.rule.name not in evaluated:  # a resource that cannot be evaluated is an error of the dry run, too
                job.scheduler_resources  # noqa: B018
                if all(is_same_for_rule(each) for each in job.rule.resources.values()):
                    evaluated.add(job.rule.name)
            if screen.screen:
                screen.screen.expect(job.rule.name, job.wildcards_dict)
            dag.reason(job).mark_finished()
        dag._finished.update(jobs)
        dag._ready_jobs.clear()
        self._executor.shutdown()
        return True

    return schedule
