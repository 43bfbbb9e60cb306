"""Checks that no object is published under a recipe that is out of date."""

from __future__ import annotations

from pathlib import Path

from nephroscale.engine.plan import Plan
from nephroscale.engine.stage import Stage
from nephroscale.errors import NephroscaleError
from nephroscale.slides import raw
from nephroscale.store.recipe import Recipe


def check_nothing_changed(plan: Plan, stage: Stage, unit: str, recipe: Recipe, signatures: dict[str, str]) -> None:
    """Raise an error if the recipe is out of date: code, inputs or raw files were changed while the job ran."""
    changed = [name for name, now in raw_signatures(plan, stage, unit).items() if signatures.get(name) != now]
    if changed:
        raise NephroscaleError(
            f"The raw file of {', '.join(changed)} changed while it was being read.",
            fix="Let the copying finish and run the same command again; nothing was published.",
        )
    plan.read_code()
    after = plan.examine(stage, unit)
    if not isinstance(after, Recipe) or after.digest != recipe.digest:
        raise NephroscaleError(
            "Its code, settings or inputs changed while it ran.",
            fix="Run the same command again; nothing was published.",
        )


def raw_files(plan: Plan, stage: Stage, unit: str) -> dict[str, tuple[Path, str | None]]:
    """The raw files that a unit reads: name to path, and the digest under which each was registered (None: not yet)."""
    found: dict[str, tuple[Path, str | None]] = {}
    for image in stage.raw(plan, unit):
        facts = None if stage.name == "register" else plan.object_json("register", image.patient_id)
        found[image.id] = (image.path, facts[image.id]["digest"] if facts else None)
        receipt = plan.receipt("register", image.patient_id)
        if image.annotation:
            name = f"{image.id}.annotation"
            found[name] = (image.annotation, receipt.parts.get(name) if facts and receipt else None)
    return found


def raw_signatures(plan: Plan, stage: Stage, unit: str) -> dict[str, str]:
    """Size, time and inode of the raw files that a unit reads, as one digest for each."""
    return {name: raw.stat_signature(path)[0] for name, (path, _) in raw_files(plan, stage, unit).items()}


def check_registered(plan: Plan, stage: Stage, unit: str) -> None:
    """Refuse to read a raw file that is no longer the one that was registered."""
    for name, (path, registered) in raw_files(plan, stage, unit).items():
        if registered and registered != plan.raw_cache.known(path):
            raise NephroscaleError(
                f"The raw file of {name} is no longer the one that was registered.",
                fix="Run the same command again: it is registered again.",
            )
