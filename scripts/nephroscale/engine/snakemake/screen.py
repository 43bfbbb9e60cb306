"""The screen output of a run: few lines, each with the time of day, the job and its duration."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from nephroscale.engine.plan import Plan
from nephroscale.engine.rates import read_rates, usual_durations
from nephroscale.engine.snakemake.attempt import SUFFIX, AttemptState
from nephroscale.engine.snakemake.status import headline
from nephroscale.engine.time_left import TimeLeft

# Of no use to the reader of the screen, or given by our own lines; Snakemake's own log file has them.
UNSAID = (
    "Select jobs to execute...",
    "Using shell:",
    "Provided cores:",
    "Rules claiming more threads",
    "Reasons:\n",
    "Removing output files of failed job",
    "Exiting because a job execution failed",
)
SILENT = {"workflow_started", "job_started", "resources_info", "shellcmd", "progress", "group_info"}
#: Seconds between two lines of one stage, and without any line until the running jobs are listed; of a long run they
#: are at least this share of its whole duration.
EVERY, SILENCE, SHARE = 10.0, 60.0, 0.02
MOST_NAMED = 3


class Screen:
    """The text for each record of Snakemake's log.

    Parameters
    ----------
    plan
        Of the run, with what the pre-pass has found out.
    changes
        Lists the reasons of a dry run (:func:`nephroscale.provenance.why.changes`).
    clock, time_of_day
        Seconds, rising, and the hour and minute; tests bring their own.
    """

    def __init__(
        self,
        plan: Plan,
        changes: Callable[[Plan, Collection[tuple[str, str]] | None], list[str]],
        clock: Callable[[], float] = time.monotonic,
        time_of_day: Callable[[], str] = lambda: time.strftime("%H:%M"),
    ) -> None:
        self._plan, self._changes, self._clock, self._time_of_day = plan, changes, clock, time_of_day
        self._stages = {stage.rule: name for name, stage in plan.stages.items()}
        self._totals: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        self._running: dict[int, tuple[str, str, float]] = {}
        self._together: dict[int, int] = {}
        self._planned: set[tuple[str, str]] = set()
        self._faults: set[str] = set()
        self._slots: int | None = None
        self._time_left: TimeLeft | None = None
        self._begun = self._last = clock()
        self._shown: dict[str, float] = {}

    def text(self, record: logging.LogRecord, otherwise: Callable[[logging.LogRecord], str]) -> str:
        """What to print for a record; `otherwise` formats those that are left to Snakemake."""
        values, event = vars(record), str(getattr(record, "event", None) or "")
        if event == "run_info":
            return self._begin(values["stats"], otherwise(record))
        if event == "resources_info" and values.get("cores"):
            self._slots = max(1, values["cores"] // self._plan.config.compute.threads)
        if event == "group_info":  # the job_info of each member follows
            self._together |= {job.jobid: len(values["jobs"]) for job in values["jobs"]}
        if event == "job_info":
            return self._start(values)
        if event == "job_finished":
            return self._finish(values["job_id"])
        if event == "job_error":
            return self._fail([values])
        if event == "group_error":
            return self._fail(values["job_error_info"], values.get("aux_logs") or [])
        message = str(record.msg)
        if message.startswith("This was a dry-run"):
            lines = self._changes(self._plan, self._planned or None)
            return "\n".join(["What would run, and why:", *(f"  {line}" for line in lines)]) if lines else ""
        if message.startswith("Nothing to be done"):
            return "\n".join([otherwise(record), *headline(self._plan)])
        failed_job = event == "error" and values.get("exception") in {"RuleException", "CalledProcessError"}
        return "" if event in SILENT or failed_job or message.startswith(UNSAID) else otherwise(record)

    def expect(self, rule: str, wildcards: Mapping[str, str]) -> None:
        """Note a job that would run, for the last lines of a dry run."""
        stage = self._stage(rule)
        if stage in self._plan.stages:
            self._planned.add((stage, self._plan.stages[stage].pattern.format(**wildcards)))

    def silence(self) -> str:
        """The jobs that run, where no line was printed for long; else an empty text."""
        now = self._clock()
        if not self._running or now - self._last < self._spaced(SILENCE, now):
            return ""
        jobs = sorted(self._running.values(), key=lambda job: job[2])
        named = [f"{message} ({_duration(now - since)})" for _, message, since in jobs[:MOST_NAMED]]
        more = f" and {len(jobs) - MOST_NAMED} more" if len(jobs) > MOST_NAMED else ""
        return self._line(f"running: {', '.join(named)}{more}{self._left(now)}", now)

    def _begin(self, stats: dict[str, int], table: str) -> str:
        if self._totals:  # Snakemake lists the jobs of a dry run twice
            return ""
        self._totals = Counter({self._stage(rule): count for rule, count in stats.items() if rule != "total"})
        self._begun = self._last = self._clock()
        return table

    def _stage(self, rule: str) -> str:
        """The stage whose units a rule makes; targets have the names of stages, and make nothing."""
        return self._stages.get(rule, f"rule {rule}")

    def _start(self, values: dict[str, Any]) -> str:
        stage = self._stage(values["rule_name"])
        now = self._clock()
        self.expect(values["rule_name"], dict(values.get("wildcards") or {}))
        self._running[values["jobid"]] = (stage, values.get("rule_msg") or values["rule_name"], now)
        if self._time_left:
            self._time_left.start(values["jobid"], stage, now, self._together.get(values["jobid"], 1))
        return ""

    def _finish(self, job: int) -> str:
        stage, message, since = self._running.pop(job, ("", "", 0.0))
        if not stage:
            return ""
        now = self._clock()
        if self._time_left is None:  # no job of a dry run finishes
            self._time_left = TimeLeft(self._totals, self._slots, usual_durations(self._plan, read_rates()))
            for number, (name, _, begun) in [(job, (stage, message, since)), *self._running.items()]:
                self._time_left.start(number, name, begun, self._together.get(number, 1))
        self._time_left.finish(job, now)
        self._done[stage] += 1
        done, total = sum(self._done.values()), sum(self._totals.values())
        complete = self._done[stage] == self._totals[stage]
        if not complete and now - self._shown.get(stage, self._begun) < self._spaced(EVERY, now):
            return ""
        self._shown[stage] = now
        count = f"{self._done[stage]}/{self._totals[stage]}"
        left = self._left(now) if done < total else ""
        return self._line(f"{done:>{len(str(total))}} of {total}  {message} ({count}){left}", now)

    def _fail(self, jobs: list[dict[str, Any]], cluster_logs: list[str] | None = None) -> str:
        """One line for a failed job; further jobs with the same fault are counted by the last screen alone."""
        lines = []
        for values in jobs:
            _, message, _ = self._running.pop(values["jobid"], ("", values["rule_name"], 0.0))
            if self._time_left:
                self._time_left.drop(values["jobid"])
            logs = [*values.get("log", []), *(cluster_logs or [])]
            fault = _fault(logs)
            if fault not in self._faults or not fault:
                self._faults.add(fault)
                ended = f"failed: {message}" if fault else _ending(message, logs)
                lines.append(f"{ended}, log {', '.join(dict.fromkeys(logs)) or 'none'}")
        return "\n".join(self._line(line, self._clock()) for line in lines)

    def _line(self, text: str, now: float) -> str:
        self._last = now
        return f"{self._time_of_day()}  {text}"

    def _spaced(self, least: float, now: float) -> float:
        left = self._time_left.left(now) if self._time_left else 0.0
        return max(least, SHARE * (now - self._begun + left))

    def _left(self, now: float) -> str:
        if self._time_left is None or now - self._begun < EVERY:
            return ""
        return f", about {_duration(self._time_left.left(now))} left"


def _fault(logs: list[str]) -> str:
    """The message that a failed job has left beside its log; empty without one."""
    for log in logs:
        path = Path(log).with_suffix(".error")
        if path.is_file():
            return path.read_text(encoding="utf-8", errors="replace").strip()
    return ""


def _ending(message: str, logs: list[str]) -> str:
    """How a job ended that left no message, by the state of its attempt."""
    state = next((found for log in logs if (found := AttemptState.read(Path(log).with_suffix(SUFFIX)))), None)
    if state is None:
        return f"failed: {message}; it left no message"
    if state.failed:  # its input's own job gives the reason
        return f"failed: {message}; an input of it could not be made"
    return f"interrupted: {message} (by Ctrl-C, a signal, or a limit of memory or time)"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(10, round(seconds, -1)):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


screen: Screen | None = None


def show(plan: Plan, changes: Callable[[Plan, Collection[tuple[str, str]] | None], list[str]]) -> None:
    """Let the logger plugin, which runs in this process, print what this plan's run does."""
    global screen  # noqa: PLW0603  (Snakemake gives its plugins nothing of the workflow)
    screen = Screen(plan, changes)
