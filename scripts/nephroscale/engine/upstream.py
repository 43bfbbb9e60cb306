"""Results together with all artifacts upstream of them, for export."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from nephroscale.collect import reachable
from nephroscale.engine.plan import Plan
from nephroscale.engine.raw_cache import raw_paths
from nephroscale.errors import NephroscaleError
from nephroscale.store.bundle import BundledResult, Contents

Key = tuple[str, str]


def with_upstream(plan: Plan, results: Iterable[Path]) -> Contents:
    """Collect results with everything that they depend on.

    Parameters
    ----------
    plan
        Of the run that made them.
    results
        Receipts, the links beside them, or folders of receipts such as the results folder itself.

    Raises
    ------
    NephroscaleError
        When a path names no result of this configuration, or one is not made, or not by the present code, settings and
        tables.
    """
    places = {
        os.path.abspath(path): (stage, unit)  # noqa: PTH100  (links are what is named: they are not followed)
        for stage in plan.stages
        for unit in plan.units(stage)
        for path in (plan.receipt_path(stage, unit), plan.link_path(stage, unit))
    }
    wanted = reachable(
        [key for path in results for key in _named(plan, path, places)],
        lambda key: [need[:2] for need in plan.stages[key[0]].needs(plan, key[1])],
    )
    ordered = [(stage, unit) for stage in plan.stages for unit in plan.units(stage) if (stage, unit) in wanted]
    items = [_item(plan, *key) for key in ordered]
    raw = [path for stage, unit in ordered for path in raw_paths(plan.stages[stage].raw(plan, unit)).values()]
    # Known by now: a look-up has asked for the digest of each.
    return Contents(items, {entry["digest"]: entry["size"] for path in raw if (entry := plan.raw_cache.entry(path))})


def _named(plan: Plan, path: Path, places: dict[str, Key]) -> list[Key]:
    place = os.path.abspath(path)  # noqa: PTH100
    if place in places:
        return [places[place]]
    below = {key: None for other, key in places.items() if other.startswith(place + os.sep)}
    made = [key for key in below if plan.receipt(*key)]
    if not made:
        raise NephroscaleError(
            "This path is not a result of this configuration.",
            where=str(path),
            fix=f"Name a receipt below {plan.results}, or a folder of receipts; --configfile selects the run.",
        )
    return made


def _item(plan: Plan, stage: str, unit: str) -> BundledResult:
    receipt = plan.receipt(stage, unit)
    if receipt is None or plan.look_up(plan.stages[stage], unit) != receipt:
        raise NephroscaleError(
            "This result is missing or outdated.",
            where=f"{stage} of {unit}",
            fix="Run the workflow first, then export.",
        )
    return BundledResult(receipt, plan.recipe_digest(stage, unit))
