"""Why units would be made: each recipe of the present against the one of the last receipt, in words."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

from nephroscale.collect import grouped
from nephroscale.engine.plan import Plan
from nephroscale.engine.prepass import outdated
from nephroscale.engine.raw_cache import raw_paths
from nephroscale.engine.stage import Stage
from nephroscale.provenance.recipe_diff import ChangedValue, changed_values
from nephroscale.provenance.record_index import RecordIndex
from nephroscale.store.recipe import Recipe
from nephroscale.store.records import Record
from nephroscale.text import name_some

Key: TypeAlias = tuple[str, str]
MOST_NAMED, MOST_CHANGES, MOST_TEXT = 3, 20, 60
#: What one unit of a stage and several are called; a stage of one unit has its own name.
NOUNS = {
    "register": ("registration", "registrations"),
    "tiles": ("tiling", "tilings"),
    "segmenter_check": ("check of the segmenter", "checks of the segmenter"),
    "glomeruli": ("search for glomeruli", "searches for glomeruli"),
    "tem": ("TEM preparation", "TEM preparations"),
    "features": ("feature extraction", "feature extractions"),
    "train": ("training", "trainings"),
    "temperature": ("temperature", "temperatures"),
    "evaluate": ("evaluation", "evaluations"),
    "predict": ("prediction", "predictions"),
    "deposit_priors": ("prior of deposits", "priors of deposits"),
    "deposit_models": ("model of deposits", "models of deposits"),
    "new_deposits": ("prediction of deposits", "predictions of deposits"),
    "new_cases": ("page of new patients", "pages of new patients"),
    "deposit_predictions": ("prediction of deposits", "predictions of deposits"),
}


class Cause(NamedTuple):
    """A change that leads to jobs: a text with ``{}`` in place of its subject, and the subject (``P02``)."""

    text: str
    subject: str = ""

    def __str__(self) -> str:
        text = (
            self.text.replace("{} is ", "{} are ", 1) if ", " in self.subject or " and " in self.subject else self.text
        )
        return text.replace("{}", self.subject, 1)


NEVER, FORCED = Cause("never made"), Cause("forced")


@dataclass
class Finding:
    """Why one unit would be made.

    Attributes
    ----------
    own
        What changed for the unit itself.
    waits_for
        Its inputs that are to be made first.
    roots
        Its own causes and those of the inputs that it waits for.
    """

    own: list[Cause]
    waits_for: list[Key]
    roots: dict[Cause, None] = field(default_factory=dict)

    @property
    def may_be_hit(self) -> bool:
        """Whether nothing has to be computed if its recomputed inputs are identical to the earlier ones."""
        return not self.own


def findings(plan: Plan, keys: Collection[Key] | None = None) -> dict[Key, Finding]:
    """Find out why each unit would be made that is not known, in the order of the stages.

    Parameters
    ----------
    plan
        Its receipts are what is known now (:func:`nephroscale.engine.prepass.find_out`); those on disk may be older.
    keys
        Only these units and what they wait for; every unit of the study by default.
    """
    index = RecordIndex(plan.records)
    # A results folder without any receipt is that of a new study: records of others in the store tell nothing of it.
    made = any(
        plan.receipt(name, unit) or outdated(plan, name, unit) for name in plan.stages for unit in plan.units(name)
    )
    newest = index.newest if made else {}
    found: dict[Key, Finding] = {}
    for name, stage in plan.stages.items():
        for unit in plan.study_units(name) if keys is None else plan.units(name):
            if plan.receipt(name, unit) is None and (keys is None or (name, unit) in keys):
                finding = found[name, unit] = _finding(plan, stage, unit, index, newest)
                roots = (found[key].roots for key in finding.waits_for if key in found)
                finding.roots = dict.fromkeys([*finding.own, *(cause for several in roots for cause in several)])
    return found


def _finding(plan: Plan, stage: Stage, unit: str, index: RecordIndex, newest: Mapping[Key, Record]) -> Finding:
    key = (stage.name, unit)
    waits_for = list(dict.fromkeys(need[:2] for need in stage.needs(plan, unit) if plan.receipt(*need[:2]) is None))
    now = plan.examine(stage, unit)
    recipe = now if isinstance(now, Recipe) else None
    receipt = outdated(plan, *key)
    before = (index.closest_that_gave(receipt, recipe) if receipt else None) or newest.get(key)
    if key in plan.forced:
        return Finding([FORCED], waits_for)
    lost = Cause("result of {} missing from the store, or damaged", f"{stage.name} of {unit}")
    if key in plan.lost:
        return Finding([lost], waits_for)
    if before is None:  # without a job, its receipt follows the rejection of an input that is to be made again
        return Finding([] if receipt and waits_for else [NEVER], waits_for)
    causes = dict.fromkeys(_causes(plan, stage, unit, before, recipe))
    if not causes and not waits_for:
        causes = {lost: None}
    return Finding(list(causes), waits_for)


def _causes(plan: Plan, stage: Stage, unit: str, before: Record, recipe: Recipe | None) -> Iterator[Cause]:
    """The differences from the last recipe; if inputs are not made yet, only those of configuration and code."""
    old = before.recipe
    if recipe is None:
        for name, path in raw_paths(stage.raw(plan, unit)).items() if not stage.inputs else ():
            if plan.raw_cache.quickly(path) != old.inputs.get(name):
                yield Cause("raw file of {} changed", name.replace(".annotation", " (outlines)"))
        recipe = plan.recipe_with(stage, unit, old.rows, old.inputs)
        recipe = replace(recipe, code=_common(recipe.code, old.code), packages=_common(recipe.packages, old.packages))
        old = replace(old, code=_common(old.code, recipe.code), packages=_common(old.packages, recipe.packages))
    changed = list(changed_values(old, recipe))
    for each in changed:
        if each.part == "code":
            module = each.key.removeprefix("nephroscale/").removesuffix(".py").replace("/", ".")
            yield Cause(f"code of stage {stage.name} changed (module {{}})", module)
    keys = {each.key for each in changed}
    for each in changed:
        text_too = each.key.endswith(".text") and f"{each.key[:-5]}.label" in keys
        if each.part != "code" and not text_too:
            yield _words(plan, stage, unit, each)


def _common(values: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    """The entries whose keys another mapping has too: which reader runs is not known before the facts are."""
    return {key: value for key, value in values.items() if key in others}


def _words(plan: Plan, stage: Stage, unit: str, change: ChangedValue) -> Cause:
    part, key, old, new = change
    if part == "inputs":
        name, _, rest = key.partition("/")
        what = f"{name} of" if rest and name in plan.stages else "raw file of" if stage.name == "register" else "file"
        verb = "is new" if old is None else "is no longer read" if new is None else "changed"
        return Cause(f"{what} {{}} {verb}", rest.partition("#")[0] if what == f"{name} of" else key)
    if part == "rows":
        key = re.sub(r"^(patients|images|study)\.", "", key)  # sections of the rows of a stage
        if key.startswith("test_set_uses."):
            return Cause(f"configurations scored on the test patients of fold {{}}: {new}, was {old}", key[14:])
        if (old is None or new is None) and isinstance(old or new, dict | list):
            # A patient may have got another use: then the tables have the row, but this stage does not read it.
            left = key in plan.cohort.patients or key in plan.cohort.images
            where = "the tables" if not left or old is None else f"what {stage.name} reads"
            return Cause("{} is " + ("new in " if old is None else "no longer in ") + where, key)
        row, _, column = key.rpartition(".")
        return Cause(f"{column} of {{}}: {_value(new)}, was {_value(old)}", row or unit)
    if part == "settings":
        if model := re.fullmatch(r"(?:trainings|models)\.([^.]+)", key):  # the whole of its settings
            return Cause(
                "model {} is " + ("new in" if old is None else "no longer in") + " the configuration", model[1]
            )
        return Cause(f"setting {_configured(plan, stage, unit, key)}: {_value(old)} -> {_value(new)}")
    names = {"packages": f"package {key}", "compute": f"compute.{key}", "format": f"format of {stage.name}"}
    return Cause(f"{names.get(part, part)}: {_value(old)} -> {_value(new)}")


def _configured(plan: Plan, stage: Stage, unit: str, key: str) -> str:
    """The name in the configuration of a key in a stage's slice of it, as far as that can be found."""
    sections: dict[str, Any] = plan.config.to_mapping()
    head = key.partition(".")[0]
    if head == "model":
        return f"models.{unit.partition('/')[0]}{key.removeprefix('model')}"
    if head == "trainings":  # of each model, which the report describes
        _, model, name = key.split(".", 2)
        chosen = plan.config.models.get(model)
        return f"models.{model}.train.{name}" if chosen and name in chosen.train else f"train.{name}"
    if head == "encoders":
        return f"features.{key}"
    if head in sections:
        return key
    image = plan.cohort.images.get(unit)
    section = image.modality.lower() if image and head not in sections.get(stage.name, {}) else stage.name
    return f"{section}.{key}"


def _value(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 3] + "..."


def changes(plan: Plan, keys: Collection[Key] | None = None) -> list[str]:
    """List the changes, each with the jobs that it leads to: one line a change, of many equal ones one line.

    Parameters
    ----------
    plan, keys
        As for :func:`findings`.

    Returns
    -------
    list of str
        Such as ``label of P02: IgAN, was MN: folds, then 4 trainings, report (may be cache hits)``.
    """
    found = findings(plan, keys)
    entries = grouped((cause.text, (cause, key)) for key, finding in found.items() for cause in finding.roots)
    lines = []
    for text, pairs in entries.items():
        subjects = name_some(sorted({cause.subject for cause, _ in pairs}), MOST_NAMED)
        direct = dict.fromkeys(key for cause, key in pairs if cause in found[key].own)
        # What is certain to be computed is listed with its own cause.
        later = dict.fromkeys(k for cause, k in pairs if cause not in found[k].own and found[k].may_be_hit)
        line = f"{Cause(text, subjects)}: {_jobs(direct)}"
        lines.append(line + (f", then {_jobs(later)} (may be cache hits)" if later else ""))
    more = len(lines) - MOST_CHANGES
    return [*lines[:MOST_CHANGES], f"and {more} more changes"] if more > 0 else lines


def _jobs(keys: Iterable[Key]) -> str:
    return ", ".join(_job(stage, units) for stage, units in grouped(keys).items())


def _job(stage: str, units: Sequence[str]) -> str:
    if list(units) == ["cohort"]:
        return stage
    one, many = NOUNS.get(stage, (stage, f"units of {stage}"))
    if len(units) < MOST_NAMED and not any("/" in unit for unit in units):
        return f"{one} of {' and '.join(units)}"
    return f"{len(units)} {one if len(units) == 1 else many}"


def why(plan: Plan, stage: str, unit: str) -> str:
    """Describe in words why one unit would be made, or that it is up to date.

    Parameters
    ----------
    plan
        As for :func:`findings`.
    stage, unit
        A unit of the plan.
    """
    name = stage if unit == "cohort" else f"{stage} of {unit}"
    if plan.receipt(stage, unit):
        return f"{name}: nothing to do, it is up to date with files, tables, settings and code."
    found = findings(plan, {(key, each) for key in plan.stages for each in plan.units(key)})
    finding = found[stage, unit]
    lines = [f"{name} would be made:", *(f"  {cause}" for cause in finding.own)]
    for key in finding.waits_for[:MOST_NAMED]:
        roots = [str(cause) for cause in found[key].roots]
        input_name = key[0] if key[1] == "cohort" else f"{key[0]} of {key[1]}"
        lines.append(f"  waits for {input_name}, which would be made because: {name_some(roots, MOST_NAMED)}")
    if (more := len(finding.waits_for) - MOST_NAMED) > 0:
        lines.append(f"  and waits for {more} more")
    if finding.may_be_hit:
        lines.append(
            "  It may be a cache hit: nothing is computed if its recomputed inputs are identical to the earlier ones."
        )
    return "\n".join(lines)
