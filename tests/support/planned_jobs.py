"""The jobs that Snakemake plans, with all that it knows of them, as JSON; with or without the project's shortcuts.

    python -m support.planned_jobs OUTPUT quick|plain ARGUMENT...

The arguments are Snakemake's. No job runs: the process writes the file after the plan is made, and a dry run goes on to
its end.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import snakemake.cli
from snakemake.dag import DAG

SHORTCUTS = ("quicken_plan", "collect_garbage_rarely", "collect_garbage_as_usual")


def file(each: Any) -> list[Any]:
    """A file as Snakemake knows it."""
    flags = {name: re.sub(r" at 0x[0-9a-f]+", "", repr(value)) for name, value in sorted(each.flags.items())}
    return [str(each), str(each.file), flags, each.is_storage, each.is_ancient, each.is_callable(), each.rule.name]


def files(named: Any) -> dict[str, Any]:
    """Files, and the names of the rule for them."""
    names = {name: [value] if isinstance(value, str) else list(value) for name, value in named.items()}
    return {"files": [file(each) for each in named], "names": {name: list(map(str, of)) for name, of in names.items()}}


def describe(dag: DAG, job: Any) -> dict[str, Any]:
    """All that decides whether, when and how a job runs."""
    group = dag.get_job_group(job)
    return {
        "rule": job.rule.name,
        "wildcards": dict(job.wildcards.items()),
        "wildcards_by_place": list(job.wildcards),
        "target": str(job.targetfile),
        "input": files(job.input),
        "output": files(job.output),
        "by_path": sorted(job.output_by_path),
        "log": files(job.log),
        "benchmark": file(job.benchmark) if job.benchmark else None,
        "resources": {name: repr(value) for name, value in sorted(job.resources.items())},
        "scheduler_resources": {name: repr(value) for name, value in sorted(job.scheduler_resources.items())},
        "params": {name: repr(value) for name, value in job.params.items()},
        "message": job.message,
        "threads": job.threads,
        "priority": repr(dag._priority.get(job)),
        "group": group and sorted(str(each.output) for each in group.jobs),
        "runs": dag.needrun(job),
        "ready": (group or job) in dag.ready_jobs,
        "waits_for": dag._n_until_ready.get(job),
        "reason": [
            sorted(dag.reason(job).get_names()),
            *(sorted(map(str, getattr(dag.reason(job), name))) for name in ("missing_output", "updated_input")),
            sorted(map(str, dag.reason(job).updated_input_run)),
        ],
        "after": sorted([str(other.output), sorted(map(str, of))] for other, of in dag.dependencies[job].items()),
        "before": sorted([str(other.output), sorted(map(str, of))] for other, of in dag.depending[job].items()),
        "target_job": job in dag.targetjobs,
    }


def main(output: str, way: str, arguments: list[str]) -> None:
    """Plan, and write the jobs."""
    if way == "plain":
        from nephroscale.engine.snakemake import quick_plan

        for name in SHORTCUTS:
            setattr(quick_plan, name, lambda *_: None)
    postprocess = DAG.postprocess

    async def write(dag: DAG, *given: Any, **named: Any) -> None:
        await postprocess(dag, *given, **named)
        if not Path(output).exists():
            jobs = sorted(
                (describe(dag, job) for job in dag.jobs), key=lambda each: (each["rule"], str(each["output"]))
            )
            Path(output).write_text(json.dumps(jobs))
        if not dag.workflow.dryrun:
            os._exit(0)

    DAG.postprocess = write  # type: ignore[method-assign]
    sys.argv[1:] = arguments
    snakemake.cli.main(arguments)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
