"""The last screen and `nephroscale status`: progress of each stage, running jobs, rejections and failures."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from nephroscale.collect import grouped
from nephroscale.engine.batches import describe_batches
from nephroscale.engine.image_findings import describe_findings
from nephroscale.engine.past_reports import past_reports
from nephroscale.engine.plan import Plan
from nephroscale.engine.prepass import outdated, outdated_receipts
from nephroscale.engine.snakemake.attempt import SUFFIX, AttemptState, cluster_logs
from nephroscale.store.gc import is_alive
from nephroscale.store.receipts import Receipt
from nephroscale.store.results_index import OUTDATED, REPORTS, receipts_of
from nephroscale.text import name_some

MOST_NAMED = 5


def summary(plan: Plan) -> str:
    """Write the last screen of a run, from receipts and logs alone.

    Parameters
    ----------
    plan
        Of the run; its receipts are read anew.

    Returns
    -------
    str
        Some lines of text.
    """
    lines = ["", "nephroscale", *_stage_lines(plan)]
    running, ended = _unfinished(plan)
    sections = {"Running": running, "Rejected": _rejections(plan), "Ended before they were done": ended}
    for title, found in (sections | describe_findings(plan) | {"Failed": _failures(plan)}).items():
        if found:
            lines += ["", f"{title}:"] + [line for text, units in found.items() for line in _item(text, units)]
    return "\n".join([*lines, *headline(plan), *describe_batches(plan), *_history(plan)])


def describe_otherwise(keys: Sequence[tuple[str, str]]) -> str:
    """Say of lost artifacts that they came out otherwise when they were made again, and what to do; empty for none."""
    if not keys:
        return ""
    names = name_some([stage if unit == "cohort" else f"{stage} of {unit}" for stage, unit in keys], MOST_NAMED)
    return (
        f"\n\nMade again with another result: {names}"
        "\n  What depends on it is outdated now. Run the same command again. The audit shows both results."
    )


def _item(text: str, units: list[str]) -> list[str]:
    """A reason and its units; of many units the first few are named."""
    named = units if len(units) <= MOST_NAMED else [*units[:MOST_NAMED], f"and {len(units) - MOST_NAMED} more"]
    return [*(f"  {unit}" for unit in named), *(f"    {line.strip()}" for line in text.splitlines())]


def _stage_lines(plan: Plan) -> list[str]:
    counts = {stage: text for stage in plan.stages if (text := _counts(plan, stage))}
    width = max(map(len, [*counts, "temperature"]))
    return [f"  {stage:<{width}} {text}" for stage, text in counts.items()]


def _counts(plan: Plan, stage: str) -> str:
    """How many units of a stage are made, rejected and outdated; empty where the stage has none."""
    study = plan.study_units(stage)
    # New patients are predicted on request: units without a receipt are not waited for.
    units = [*study, *(unit for unit in plan.units(stage)[len(study) :] if plan.receipt(stage, unit))]
    if not units:
        return ""
    made = [receipt for unit in units if (receipt := plan.receipt(stage, unit))]
    rejected = sum(not receipt.accepted for receipt in made)
    old = sum(outdated(plan, stage, unit) is not None for unit in units if plan.receipt(stage, unit) is None)
    text = f"{len(made):>6} of {len(units)}"
    return text + (f", {rejected} rejected" if rejected else "") + (f", {old} outdated" if old else "")


def _history(plan: Plan) -> list[str]:
    """How many past reports, outdated artifacts and artifacts of former units are kept, and the space they need."""
    planned = {stage: {*plan.units(stage)} for stage in plan.stages}
    old: list[Receipt] = []
    gone: list[Receipt] = []
    for path, receipt in outdated_receipts(plan.results).items():
        stage, _, unit = path.relative_to(plan.results / OUTDATED).with_suffix("").as_posix().partition("/")
        (old if (unit or "cohort") in planned.get(stage, ()) else gone).append(receipt)
    current = {r.digest for stage in plan.stages for unit in plan.units(stage) if (r := plan.receipt(stage, unit))}
    past = [report for report in past_reports(plan.results).values() if report.digest not in current]
    lines = []
    for found, title, advice in (
        (past, "Past reports", f"{plan.results / REPORTS}; `nephroscale gc --delete-reports-before N`"),
        (old, "Outdated artifacts", "their links stay until new ones are made; `nephroscale gc --outdated`"),
        (gone, "Artifacts that are not part of this run", "of new patients, for example; `nephroscale gc --outdated`"),
    ):
        if found:
            size = sum({r.digest: r.size for r in found if r.digest not in current}.values())
            lines.append(f"{title}: {len(found)}, {size / 1e6:.1f} MB ({advice})")
    return lines


def _rejections(plan: Plan) -> dict[str, list[str]]:
    """Each reason and its units; rejections that follow from another one are not listed."""
    return grouped(
        (str(receipt.reason), f"{stage} of {unit}")
        for stage in plan.stages
        for unit in plan.units(stage)
        if (receipt := plan.receipt(stage, unit)) and not receipt.accepted and "because" not in receipt.figures
    )


def _failures(plan: Plan) -> dict[str, list[str]]:
    """Each message of a failed job that has not succeeded since, with its logs."""
    logs = cluster_logs()
    return grouped(
        (
            error.read_text().strip(),
            f"{stage} of {unit}, log {log}{_cluster_log(AttemptState.read(log.with_suffix(SUFFIX)), logs)}",
        )
        for stage, unit, log in _missing(plan)
        if (error := log.with_suffix(".error")).is_file()
    )


def _unfinished(plan: Plan) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Jobs that began and have not ended, with place and start: the running ones, and the interrupted ones."""
    running: dict[str, list[str]] = defaultdict(list)
    ended: dict[str, list[str]] = defaultdict(list)
    queue: set[str] | None = None
    logs = cluster_logs()
    for stage, unit, log in _missing(plan):
        state = AttemptState.read(log.with_suffix(SUFFIX))
        if state is None or state.failed:
            continue
        if state.cluster_job and queue is None:
            queue = _queue()
        running_now = state.cluster_job in (queue or ()) if state.cluster_job else _is_running(state)
        where = f"cluster job {state.cluster_job}" if state.cluster_job else f"process {state.pid} on {state.host}"
        unit_line = f"{stage} of {unit}, log {log}"
        if running_now:
            running[f"{where}, since {state.since}"].append(unit_line)
        else:
            ended[f"{where}, started {state.since}"].append(unit_line + _cluster_log(state, logs))
    return running, ended


def _missing(plan: Plan) -> Iterator[tuple[str, str, Path]]:
    """Stage, unit and log of everything that has no receipt."""
    return (
        (stage, unit, plan.log_path(stage, unit))
        for stage in plan.stages
        for unit in plan.units(stage)
        if plan.receipt(stage, unit) is None
    )


def _cluster_log(state: AttemptState | None, logs: dict[str, Path]) -> str:
    path = logs.get(state.cluster_job) if state else None
    return f", cluster's log {path}" if path else ""


def _is_running(state: AttemptState) -> bool:
    """Whether a process runs; one on another machine is taken to be running."""
    return state.host != socket.gethostname() or is_alive(os.kill, state.pid)


def _queue() -> set[str]:
    """The numbers of this user's jobs on the cluster; empty if Slurm does not answer."""
    if shutil.which("squeue") is None:
        return set()
    command = ["squeue", "--noheader", "--format=%A", "--states=running,completing", f"--user={getpass.getuser()}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return set()
    return set(done.stdout.split())


def headline(plan: Plan) -> list[str]:
    """The headline figures of the pages and where these lie; nothing where there is none."""
    return [
        line
        for stage, title in {"deposits": "Deposits", "report": "Report"}.items()
        if stage in plan.stages
        for line in _page_lines(plan.receipt(stage, "cohort"), plan.link_path(stage, "cohort"), title)
    ]


def _page_lines(receipt: Receipt | None, link: Path, title: str = "Report") -> list[str]:
    if not receipt or not receipt.accepted:
        return []
    figures = receipt.figures.get("headline")
    lines = ["", *(str(line) for line in (figures if isinstance(figures, list) else []))]
    return [*lines, f"{title}: {link / 'index.html'}"]


def folder_summary(results: Path) -> str:
    """Describe a results folder by its receipts alone, where the tables cannot be read.

    Parameters
    ----------
    results
        Folder of the receipts.
    """
    receipts = receipts_of(results) if results.is_dir() else []
    rejected = Counter(receipt.stage for receipt in receipts if not receipt.accepted)
    lines = [
        f"  {stage:<11} {count:>6} made" + (f", {rejected[stage]} rejected" if rejected[stage] else "")
        for stage, count in Counter(receipt.stage for receipt in receipts).items()
    ]
    report = next((receipt for receipt in receipts if receipt.stage == "report"), None)
    lines = [f"nephroscale: {results} has", *(lines or ["  no results"]), *_page_lines(report, results / "report")]
    return "\n".join(lines)
