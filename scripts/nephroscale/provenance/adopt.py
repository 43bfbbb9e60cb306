"""Adoption after an upgrade: artifacts of earlier code keep their place where new code gives the same bytes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from nephroscale.engine.plan import Plan
from nephroscale.engine.stage import Stage
from nephroscale.json_text import JSON
from nephroscale.provenance.replay import Replay, recompute
from nephroscale.store.digest import digest_json
from nephroscale.store.recipe import Recipe
from nephroscale.store.records import Record, now

#: The parts of a recipe that an upgrade leaves as they are: only code and packages may differ.
SAME = ("stage", "format", "settings", "rows", "inputs", "seed", "compute")


class Candidate(NamedTuple):
    """A unit that the present code has not made, and the record of earlier code that differs in nothing else."""

    unit: str
    recipe: Recipe
    record: Record


class Adoption(NamedTuple):
    """The outcome: the units that could be adopted, the replays, and whether all candidates were adopted."""

    candidates: list[Candidate]
    replays: list[Replay]
    adopted: bool


def find_candidates(plan: Plan, stage: Stage) -> list[Candidate]:
    """Find the units of a stage that would be recomputed only because of an upgrade."""
    latest: dict[str, Record] = {}
    for record in plan.records.all():
        key = _key(record.recipe)
        if record.receipt.stage == stage.name and (
            key not in latest or record.made["started"] > latest[key].made["started"]
        ):
            latest[key] = record
    found = []
    for unit in plan.units(stage.name):
        recipe = plan.examine(stage, unit)
        if isinstance(recipe, Recipe) and plan.records.look_up(recipe.digest) is None:
            before = latest.get(_key(recipe))
            if before and plan.records.look_up(before.recipe.digest):
                found.append(Candidate(unit, recipe, before))
    return found


def _key(recipe: Recipe) -> str:
    return digest_json([getattr(recipe, part) for part in SAME])


def adopt(plan: Plan, stage: Stage, sample: int, report: Callable[[str, Replay], None]) -> Adoption:
    """Replay a sample of a stage's units by the present code; adopt all of them where every result is the same.

    Nothing is adopted if any receipt or byte differs. An adopted artifact has a record under its present recipe, whose
    `made` is that of the original with the entry `adopted`.

    Parameters
    ----------
    plan
        With the present code.
    stage
        Stage to adopt.
    sample
        Number of units to replay, chosen at random by the seed of the configuration.
    report
        Called with the unit and the outcome of each replay.
    """
    candidates = find_candidates(plan, stage)
    chosen = random.Random(plan.config.seed).sample(candidates, min(sample, len(candidates)))  # noqa: S311
    replays = []
    for unit, _, record in chosen:
        done = recompute(plan, stage, unit, replace(record.receipt, unit=unit))
        replays.append(done)
        report(unit, done)
    if not all(done.agrees_wholly for done in replays):
        return Adoption(candidates, replays, adopted=False)
    for unit, recipe, record in candidates:
        origin: dict[str, JSON] = {
            "recipe": record.recipe.digest,
            "on": now(),
            "replayed": len(chosen),
            "of": len(candidates),
        }
        plan.records.add(recipe, replace(record.receipt, unit=unit), {**record.made, "adopted": origin})
    return Adoption(candidates, replays, adopted=bool(candidates))
