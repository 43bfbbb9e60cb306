"""The command `estimate`: hours, memory and disk of each stage for a cohort, before it is run."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nephroscale.commands.run import open_plan
from nephroscale.places import PACKAGE
from nephroscale.slides.raw import stat_signature

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping

    from nephroscale.commands.run import Commands
    from nephroscale.engine.plan import Plan

RATES = PACKAGE / "commands" / "templates" / "rates.json"
#: Records of a stage from which on the study's own rate is used.
ENOUGH = 3


class Sample(NamedTuple):
    """One finished job: size of its task (see :func:`size_of_task`), seconds, peak MiB, bytes of its artifact."""

    task: float
    seconds: float
    peak_mb: float
    size: float


@dataclass(frozen=True)
class Rate:
    """What a job of a stage takes: a fixed part, and a part for each unit of the size of its task.

    Parameters
    ----------
    seconds, seconds_each
        Duration of a job.
    size, size_each
        Bytes of the artifact.
    peak_mb
        Largest peak memory, MiB.
    jobs
        Jobs from which it was measured.
    """

    seconds: float
    seconds_each: float
    size: float
    size_each: float
    peak_mb: float
    jobs: int


class StageEstimate(NamedTuple):
    """A stage of the cohort: jobs in all and not yet done, hours of these, memory of one, disk of all, the source."""

    stage: str
    jobs: int
    left: int
    hours: float
    peak_mb: float
    size: float
    source: str


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    text = "estimate hours, memory and disk of each stage for this cohort"
    commands.add_parser("estimate", help=text).set_defaults(run=print_estimate)


def size_of_task(plan: Plan, stage: str, unit: str) -> float:
    """What the duration of a job grows with.

    MB of raw files for `register`, `tiles` and `tem`; patients times epochs for `train`; patients for `evaluate`,
    `report` and `audit`; 0 for others, whose jobs are all alike.
    """
    if stage in {"register", "tiles", "tem"}:
        modality = "TEM" if stage == "tem" else None
        images = [plan.cohort.images[unit]] if stage == "tiles" else plan.cohort.images_of(unit, modality)
        return sum(stat_signature(image.path)[1] for image in images if image.path.exists()) / 1e6
    if stage == "train":
        return float(len(plan.patients) * plan.config.train.epochs)
    return float(len(plan.patients)) if stage in {"evaluate", "report", "audit"} else 0.0


def collect_samples(plan: Plan) -> dict[str, list[Sample]]:
    """Read the records of this cohort's finished jobs, by stage."""
    units = {stage: set(plan.study_units(stage)) for stage in plan.stages}
    found: dict[str, list[Sample]] = defaultdict(list)
    for record in plan.records.all():
        receipt, made = record.receipt, record.made
        if receipt.accepted and receipt.unit in units.get(receipt.stage, ()) and "seconds" in made:
            task = size_of_task(plan, receipt.stage, receipt.unit)
            if receipt.stage == "train":  # records of earlier settings count too
                task = len(plan.patients) * float(str(record.recipe.settings.get("epochs", plan.config.train.epochs)))
            found[receipt.stage].append(Sample(task, made["seconds"], made.get("peak_mb", 0), receipt.size))
    return found


def fit_rate(samples: list[Sample]) -> Rate:
    """Fit durations and sizes by least squares without negative parts.

    Where all tasks have one size, nothing tells the parts apart: the fastest job is taken as the fixed part.
    """
    from scipy.optimize import nnls

    task = np.array([sample.task for sample in samples])
    values = np.array([[sample.seconds, sample.size] for sample in samples], float)
    if np.ptp(task) > 0:
        design = np.stack([np.ones_like(task), task], axis=1)
        (seconds, seconds_each), (size, size_each) = (nnls(design, column)[0].tolist() for column in values.T)
    else:
        each = (values.mean(0) - values.min(0)) / task[0] if task[0] else np.zeros(2)
        fixed = values.min(0) if task[0] else values.mean(0)
        (seconds, size), (seconds_each, size_each) = fixed.tolist(), each.tolist()
    peak = max(sample.peak_mb for sample in samples)
    return Rate(
        seconds=round(seconds, 6),
        seconds_each=round(seconds_each, 6),
        size=round(size, 6),
        size_each=round(size_each, 6),
        peak_mb=peak,
        jobs=len(samples),
    )


def read_rates() -> dict[str, Rate]:
    """Read the rates that ``benchmarks/rates.py`` wrote."""
    content = json.loads(RATES.read_text(encoding="utf-8"))
    return {stage: Rate(**rate) for stage, rate in content["stages"].items()}


def estimate(plan: Plan, shipped: Mapping[str, Rate]) -> list[StageEstimate]:
    """Estimate each stage of a cohort; rates of its own records win over those that are shipped."""
    own = {stage: fit_rate(samples) for stage, samples in collect_samples(plan).items() if len(samples) >= ENOUGH}
    rates = {**shipped, **own}
    found = []
    for stage in plan.stages:
        if stage not in rates or not (units := plan.study_units(stage)):
            continue
        rate = rates[stage]
        tasks = {unit: size_of_task(plan, stage, unit) for unit in units}
        left = [unit for unit in units if plan.receipt(stage, unit) is None]
        seconds = sum(rate.seconds + rate.seconds_each * tasks[unit] for unit in left)
        size = sum(rate.size + rate.size_each * tasks[unit] for unit in units)
        source = f"{rate.jobs} jobs of this study" if stage in own else "shipped rates"
        found.append(StageEstimate(stage, len(units), len(left), seconds / 3600, rate.peak_mb, size, source))
    return found


def print_estimate(options: argparse.Namespace) -> int:
    """Print a line for each stage, and the sums."""
    plan = open_plan(options)
    rows = estimate(plan, read_rates())
    on_gpu = {row.stage for row in rows if plan.config.compute.device == "cuda" and plan.stages[row.stage].torch}
    print(f"{len(plan.patients)} patients")
    print(f"{'stage':<12} {'jobs':>6} {'left':>6} {'hours':>9} {'GPU hours':>9} {'GB memory':>9} {'GB disk':>9}  from")
    for row in rows:
        gpu = f"{row.hours:.2f}" if row.stage in on_gpu else "-"
        figures = f"{row.hours:>9.2f} {gpu:>9} {row.peak_mb / 1024:>9.2f} {row.size / 1e9:>9.2f}"
        print(f"{row.stage:<12} {row.jobs:>6} {row.left:>6} {figures}  {row.source}")
    print(_sums(rows, on_gpu))
    if on_gpu and any(row.stage in on_gpu and row.source == "shipped rates" for row in rows):
        print("The shipped rates were measured on a CPU: GPU hours from them are an upper bound.")
    if any(row.source == "shipped rates" for row in rows):
        print(f"The shipped rates come from small images; {ENOUGH} finished jobs of a stage replace its rate.")
    return 0


def _sums(rows: Iterable[StageEstimate], on_gpu: set[str]) -> str:
    rows = list(rows)
    hours, size = sum(row.hours for row in rows), sum(row.size for row in rows) / 1e9
    gpu = sum(row.hours for row in rows if row.stage in on_gpu)
    memory = max((row.peak_mb for row in rows), default=0) / 1024
    parts = f"{hours:>9.2f} {f'{gpu:.2f}' if on_gpu else '-':>9} {memory:>9.2f} {size:>9.2f}"
    return f"{'sum':<12} {'':>6} {'':>6} {parts}  hours of one core; divide by the jobs that run at once"


def rates_text(rates: Mapping[str, Rate], measured: str) -> str:
    """The file of rates."""
    content = {"measured": measured, "stages": {stage: asdict(rate) for stage, rate in rates.items()}}
    return json.dumps(content, indent=2) + "\n"
