"""Find an artifact of the graph by what a person types."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from nephroscale.engine.plan import Plan
from nephroscale.errors import NephroscaleError
from nephroscale.provenance.graph import Graph

SHORTEST_DIGEST = 6


def find_artifact(plan: Plan, graph: Graph, text: str) -> tuple[str, str]:
    """Find the artifact that a text names.

    Parameters
    ----------
    plan, graph
        Of the results folder.
    text
        ``stage/unit`` (``report`` alone where there is one unit), the path of a receipt or of its link, or the first
        digits of a digest or a recipe.

    Returns
    -------
    tuple of str
        Stage and unit.

    Raises
    ------
    NephroscaleError
        When it names no artifact, or several.
    """
    typed = _within(plan.results, text)
    for stage, unit in graph.artifacts:
        paths = (plan.receipt_path(stage, unit), plan.link_path(stage, unit))
        names = {f"{stage}/{unit}", *(str(path).removeprefix(f"{plan.results}/") for path in paths)}
        if typed in names or (unit == "cohort" and typed.split("/", maxsplit=1)[0] == stage):
            return stage, unit
    digests = ((each.key, (each.receipt.digest, each.record and each.record.recipe.digest)) for each in graph)
    found = [
        key for key, both in digests if len(typed) >= SHORTEST_DIGEST and any(str(d).startswith(typed) for d in both)
    ]
    if len(found) == 1:
        return found[0]
    several = f"Several artifacts match: {', '.join('/'.join(key) for key in found[:5])}." if found else ""
    raise NephroscaleError(
        several or f"No artifact of this run is named {text!r}.",
        where=str(plan.results),
        fix="Name it as stage/unit (such as features/P001-TEM), by the path of its receipt, or by its digest. "
        "`nephroscale status` lists the stages.",
    )


def find_unit(plan: Plan, text: str) -> tuple[str, str]:
    """Find the unit of a plan that a text names, made or not.

    Parameters
    ----------
    plan
        Of the results folder.
    text
        ``stage/unit`` (``report`` alone where there is one unit), or the path of a receipt.

    Returns
    -------
    tuple of str
        Stage and unit.

    Raises
    ------
    NephroscaleError
        When the plan has no such unit.
    """
    stage, _, unit = _within(plan.results, text).removesuffix(".json").partition("/")
    if stage not in plan.stages:
        stages = ", ".join(plan.stages)
        raise NephroscaleError(f"There is no stage {stage!r}.", where=text, fix=f"The stages are {stages}.")
    units = plan.units(stage)
    unit = unit or (units[0] if len(units) == 1 else "")
    if unit not in units:
        named = ", ".join(f"{stage}/{each}" for each in units[:3])
        raise NephroscaleError(
            f"The stage {stage} has no unit {unit!r}." if unit else f"The stage {stage} has several units, or none.",
            where=text,
            fix=f"Name one as stage/unit, such as {named}." if units else "No unit of it is configured.",
        )
    return stage, unit


def _within(results: Path, text: str) -> str:
    """The part of a path within the results folder, however the folder is written; any other text unchanged."""
    for parent in Path(text).parents:
        with suppress(OSError, ValueError):
            if parent.samefile(results):
                return Path(text).relative_to(parent).as_posix()
    return Path(text).as_posix()
