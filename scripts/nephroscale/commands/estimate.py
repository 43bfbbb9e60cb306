"""The command `estimate`: hours, memory and disk of each stage for a cohort, before it is run."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from nephroscale.commands.run import Commands, open_plan
from nephroscale.engine.rates import ENOUGH, StageEstimate, estimate, read_rates


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    commands.add_parser(
        "estimate", help="estimate hours, memory and disk of each stage for this cohort", run=print_estimate
    )


def print_estimate(options: argparse.Namespace) -> None:
    """Print a line for each stage, and the sums."""
    plan = open_plan(options)
    rows = estimate(plan, read_rates())
    on_gpu = {row.stage for row in rows if plan.config.compute.device == "cuda" and plan.stages[row.stage].on_device}
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


def _sums(rows: Iterable[StageEstimate], on_gpu: set[str]) -> str:
    rows = list(rows)
    hours, size = sum(row.hours for row in rows), sum(row.size for row in rows) / 1e9
    gpu = sum(row.hours for row in rows if row.stage in on_gpu)
    memory = max((row.peak_mb for row in rows), default=0) / 1024
    parts = f"{hours:>9.2f} {f'{gpu:.2f}' if on_gpu else '-':>9} {memory:>9.2f} {size:>9.2f}"
    return f"{'sum':<12} {'':>6} {'':>6} {parts}  hours of one core; divide by the jobs that run at once"
