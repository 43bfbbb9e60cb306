"""Record when each job of a run started and ended, from Snakemake's log, to replay it against a simulated clock.

    PYTHONPATH=tests python -m support.recorded_run CONFIG LOG JOBS_AT_ONCE OUT.json

CONFIG is the run's configuration, LOG its file in .snakemake/log, JOBS_AT_ONCE 0 where that is not known, as on a
cluster. The program runs in the folder of the run.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import datetime
from pathlib import Path

import yaml

from nephroscale.engine.plan import Plan
from nephroscale.engine.rates import mean_tasks
from nephroscale.stages.registry import stage_table


def recorded_jobs(text: str, stage_of_rule: dict[str, str]) -> list[tuple[str, float, float, int]]:
    """List stage, start and end in seconds from the first start, and the number of jobs in the job's group.

    Jobs that did not finish, and rules that make no stage's units, are left out.
    """
    now = 0.0
    started: dict[str, float] = {}
    groups: list[list[str]] = []
    jobs = []
    for line in text.splitlines():
        if time := re.fullmatch(r" *\[(\w{3} \w{3} +\d+ [\d:]+ \d{4})\]", line):
            now = datetime.strptime(time[1], "%a %b %d %H:%M:%S %Y").timestamp()  # noqa: DTZ007  (differences alone)
        elif "Group job " in line:
            groups.append([])
        elif begun := re.match(r"( *)Job (\d+): ", line):
            started[begun[2]] = now
            if begun[1]:
                groups[-1].append(begun[2])
        elif (ended := re.match(r"Finished jobid: (\d+) \(Rule: (\w+)\)", line)) and ended[2] in stage_of_rule:
            together = next((len(group) for group in groups if ended[1] in group), 1)
            jobs.append((stage_of_rule[ended[2]], started[ended[1]], now, together))
    first = min((start for _, start, _, _ in jobs), default=0.0)
    return sorted(((stage, a - first, b - first, n) for stage, a, b, n in jobs), key=lambda job: job[1])


def main() -> None:
    config, log, at_once, out = sys.argv[1:]
    stages = stage_table()
    plan = Plan(yaml.safe_load(Path(config).read_text()), stages)
    jobs = recorded_jobs(Path(log).read_text(), {stage.rule: name for name, stage in stages.items()})
    tasks = {stage: round(task, 3) for stage, task in mean_tasks(plan).items()}
    lines = ",\n".join(json.dumps(job) for job in jobs)
    head = f'"at_once": {int(at_once) or "null"}, "tasks": {json.dumps(tasks)}'
    Path(out).write_text(f'{{{head}, "jobs": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
