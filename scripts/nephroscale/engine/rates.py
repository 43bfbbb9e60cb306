"""What jobs of each stage take: from the records of this study, or else from rates that were measured elsewhere."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nephroscale.engine.plan import Plan
from nephroscale.places import PACKAGE
from nephroscale.slides.raw import stat_signature

RATES = PACKAGE / "engine" / "templates" / "rates.json"
#: Records of a stage from which on the study's own rate is used.
ENOUGH = 3
#: A job is a process that starts Python and Snakemake's part of the script, which a record does not count.
START_SECONDS = 1.5


class Sample(NamedTuple):
    """One finished job: size of its task (see :func:`size_of_task`), seconds, peak MiB, bytes of its artifact."""

    task: float
    seconds: float
    peak_mb: float
    size: float


class Usual(NamedTuple):
    """How long a job of a stage takes on average, in seconds, and whether this study's records show it."""

    seconds: float
    own: bool


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

    def usual(self, task: float, *, own: bool) -> Usual:
        """How long a job takes whose task has this size."""
        return Usual(START_SECONDS + self.seconds + self.seconds_each * task, own)


class StageEstimate(NamedTuple):
    """A stage of the cohort: jobs in all and not yet done, hours of these, memory of one, disk of all, the source."""

    stage: str
    jobs: int
    left: int
    hours: float
    peak_mb: float
    size: float
    source: str


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
        model, _, _ = unit.partition("/")
        return float(len(plan.patients) * plan.config.models[model].training(plan.config.train).epochs)
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
                train = record.recipe.settings.get("train")
                epochs = train.get("epochs") if isinstance(train, dict) else None
                task = len(plan.patients) * epochs if isinstance(epochs, int) else task
            found[receipt.stage].append(Sample(task, made["seconds"], made.get("peak_mb", 0), receipt.size))
    return found


def fit_rate(samples: list[Sample]) -> Rate:
    """Fit durations and sizes by least squares without negative parts.

    If all tasks have the same size, the parts cannot be separated: the fastest job is taken as the fixed part.
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
    return Rate(
        seconds=round(seconds, 6),
        seconds_each=round(seconds_each, 6),
        size=round(size, 6),
        size_each=round(size_each, 6),
        peak_mb=max(sample.peak_mb for sample in samples),
        jobs=len(samples),
    )


def read_rates() -> dict[str, Rate]:
    """Read the rates that ``benchmarks/rates.py`` wrote."""
    return {stage: Rate(**rate) for stage, rate in json.loads(RATES.read_text(encoding="utf-8"))["stages"].items()}


def rates_of(plan: Plan, shipped: Mapping[str, Rate]) -> tuple[dict[str, Rate], set[str]]:
    """The rate of each stage, and the stages with enough records of their own: these win over the shipped rates."""
    own = {stage: fit_rate(samples) for stage, samples in collect_samples(plan).items() if len(samples) >= ENOUGH}
    rates = {**shipped, **own}
    alike = {
        "segmenter_im": "segmenter",
        "predict": "evaluate",
        "new_deposits": "deposit_predictions",
        "new_cases": "report",
    }
    return {name: rates[like] for name, like in alike.items() if like in rates} | rates, set(own)


def usual_durations(plan: Plan, shipped: Mapping[str, Rate]) -> dict[str, Usual]:
    """Mean seconds of a job of each stage of this cohort, from the start of its process to its end."""
    rates, own = rates_of(plan, shipped)
    tasks = mean_tasks(plan)
    return {stage: rate.usual(tasks[stage], own=stage in own) for stage, rate in rates.items() if stage in tasks}


def mean_tasks(plan: Plan) -> dict[str, float]:
    """Mean size of the tasks of each stage that has some, see :func:`size_of_task`."""
    return {
        stage: sum(size_of_task(plan, stage, unit) for unit in units) / len(units)
        for stage in plan.stages
        if (units := plan.study_units(stage))
    }


def estimate(plan: Plan, shipped: Mapping[str, Rate]) -> list[StageEstimate]:
    """Estimate each stage of a cohort; rates from its own records take precedence over the shipped ones."""
    rates, own = rates_of(plan, shipped)
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
