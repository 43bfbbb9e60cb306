"""The last screen: how far each stage is, what was rejected and why, what failed, the headline figures."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nephroscale.stages.plan import Plan

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
    lines = ["", "nephroscale"]
    for name in plan.stages:
        lines += _stage_line(plan, name)
    for title, found in (("Rejected", _rejections(plan)), ("Failed", _failures(plan))):
        if found:
            lines += ["", f"{title}:"] + [line for text, units in found.items() for line in _item(text, units)]
    lines += _headline(plan)
    return "\n".join(lines)


def _item(text: str, units: list[str]) -> list[str]:
    """One reason and what it was given for; of many units the first few are named."""
    named = units if len(units) <= MOST_NAMED else [*units[:MOST_NAMED], f"and {len(units) - MOST_NAMED} more"]
    return [*(f"  {unit}" for unit in named), *(f"    {line.strip()}" for line in text.splitlines())]


def _stage_line(plan: Plan, stage: str) -> list[str]:
    units = plan.units(stage)
    if not units:
        return []
    receipts = [plan.receipt(stage, unit) for unit in units]
    made = [receipt for receipt in receipts if receipt]
    rejected = sum(not receipt.accepted for receipt in made)
    text = f"  {stage:<10} {len(made):>6} of {len(units)}"
    return [text + (f", {rejected} rejected" if rejected else "")]


def _rejections(plan: Plan) -> dict[str, list[str]]:
    """Each reason, and the units that it was given for; what follows from another rejection is not listed again."""
    found: dict[str, list[str]] = defaultdict(list)
    for stage in plan.stages:
        for unit in plan.units(stage):
            receipt = plan.receipt(stage, unit)
            if receipt and not receipt.accepted and "because" not in receipt.figures:
                found[str(receipt.reason)].append(f"{stage} of {unit}")
    return found


def _failures(plan: Plan) -> dict[str, list[str]]:
    """Each message of a failed job that has not succeeded since, and the log it is explained in."""
    found: dict[str, list[str]] = defaultdict(list)
    for stage in plan.stages:
        for unit in plan.units(stage):
            error = plan.log_path(stage, unit).with_suffix(".error")
            if plan.receipt(stage, unit) is None and error.is_file():
                found[error.read_text().strip()].append(f"{stage} of {unit}, log {error.with_suffix('.log')}")
    return found


def _headline(plan: Plan) -> list[str]:
    if "report" not in plan.stages:
        return []
    receipt = plan.receipt("report", "cohort")
    if not receipt or not receipt.accepted:
        return []
    lines = ["", *(str(line) for line in receipt.figures.get("headline", []))]
    return [*lines, f"Report: {plan.link_path('report', 'cohort') / 'index.html'}"]
