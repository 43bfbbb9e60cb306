"""Why two runs give different figures: the first differing artifacts and the causes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from nephroscale.errors import NephroscaleError
from nephroscale.provenance.document_types import Metrics
from nephroscale.provenance.recipe_diff import RecipeDifference, differences
from nephroscale.provenance.record_index import RecordIndex
from nephroscale.store.objects import Store
from nephroscale.store.receipts import Receipt
from nephroscale.store.recipe import Recipe
from nephroscale.store.records import Record, Records
from nephroscale.store.results_index import receipts_of
from nephroscale.text import name_some

Key = tuple[str, str]
MOST_NAMED = 4


@dataclass
class ResultsOfRun:
    """A results folder: its receipts, and the store that their links lead to."""

    folder: Path
    receipts: dict[Key, Receipt]
    store: Store


def open_run(folder: Path) -> ResultsOfRun:
    """Open a results folder; its store is found by the links beside the receipts.

    Raises
    ------
    NephroscaleError
        When it has no receipts, or none of its links leads to a store.
    """
    receipts = {(r.stage, r.unit): r for r in receipts_of(folder)} if folder.is_dir() else {}
    store = _store_of(folder)
    if not receipts or store is None:
        raise NephroscaleError(
            "This is not the results folder of a run: it has no receipts with objects.",
            where=str(folder),
            fix="Name two folders as in `results:` of their configurations, such as results/a results/b.",
        )
    return ResultsOfRun(folder, receipts, store)


def _store_of(folder: Path) -> Store | None:
    for link in sorted(folder.glob("*/*")) + sorted(folder.glob("*")):
        if link.is_symlink() and "objects" in link.readlink().parts:
            return Store((link.parent / link.readlink()).resolve().parents[2])
    return None


@dataclass(frozen=True)
class ChangeBetweenRuns:
    """One cause, and the first artifacts that differ because of it.

    Parameters
    ----------
    difference
        The cause and a sentence.
    stage, units
        The first artifacts that differ.
    """

    difference: RecipeDifference
    stage: str
    units: list[str]


@dataclass(frozen=True)
class RunDifference:
    """The difference between two runs.

    Attributes
    ----------
    changes
        The causes, in the order of the stages.
    differing
        Stage to number of its artifacts that differ.
    only
        Artifacts that only one run has, to ``a`` or ``b``.
    metrics
        Figures that differ: name to both values.
    """

    changes: list[ChangeBetweenRuns]
    differing: dict[str, int]
    only: dict[Key, str]
    metrics: dict[str, tuple[float | None, float | None]]

    def text(self, stages: Sequence[str]) -> str:
        """Describe the difference in words."""
        if not self.differing and not self.only:
            return "Every artifact is equal in both runs."
        counts = ", ".join(f"{stage} {self.differing[stage]}" for stage in stages if stage in self.differing)
        alone = {
            place: ["/".join(key) for key, owner in self.only.items() if owner == side]
            for side, place in (("a", "first"), ("b", "second"))
        }
        lines = [
            *(
                f"{name}: {_figure(before)} changed to {_figure(after)}"
                for name, (before, after) in self.metrics.items()
            ),
            *(["", f"Artifacts that differ: {counts}."] if counts else []),
            *(f"Only in the {place} run: {name_some(keys, MOST_NAMED)}." for place, keys in alone.items() if keys),
            *(["", "The first artifacts that differ, and the causes:"] if self.changes else []),
            *(
                f"  {change.difference.cause}: {change.difference.text}\n"
                f"      first in {change.stage} of {name_some(change.units, MOST_NAMED)}"
                for change in self.changes
            ),
        ]
        return "\n".join(lines).lstrip("\n")


def compare_runs(a: ResultsOfRun, b: ResultsOfRun, stages: Sequence[str]) -> RunDifference:
    """Compare two runs.

    Parameters
    ----------
    a, b
        The runs; they may share a store or not.
    stages
        The stages in order; audits are not compared, since they hold times and machines.
    """
    common = [key for key in _ordered(a.receipts.keys() & b.receipts.keys(), stages) if key[0] != "audit"]
    differing = [key for key in common if not _alike(a.receipts[key], b.receipts[key])]
    only = {
        key: "a" if key in a.receipts else "b"
        for key in _ordered(a.receipts.keys() ^ b.receipts.keys(), stages)
        if key[0] != "audit"
    }
    return RunDifference(
        _changes(a, b, differing, only), dict(Counter(stage for stage, _ in differing)), only, _metrics(a, b)
    )


def _ordered(keys: Iterable[Key], stages: Sequence[str]) -> list[Key]:
    place = {name: index for index, name in enumerate(stages)}
    return sorted(keys, key=lambda key: (place.get(key[0], len(place)), key))


def _alike(left: Receipt, right: Receipt) -> bool:
    return (left.status, left.reason, left.digest) == (right.status, right.reason, right.digest)


def _changes(a: ResultsOfRun, b: ResultsOfRun, differing: list[Key], only: dict[Key, str]) -> list[ChangeBetweenRuns]:
    """Find the causes: differences of recipes, except inputs that are differing artifacts themselves."""
    elsewhere = {"/".join(key) for key in [*differing, *only]}
    indexes = [RecordIndex(Records(run.store)) for run in (a, b)]
    units: dict[tuple[str, RecipeDifference], list[str]] = {}
    for key in differing:
        receipts = (a.receipts[key], b.receipts[key])
        before, after = (index.all_that_gave(receipt) for index, receipt in zip(indexes, receipts, strict=True))
        if not (before and after) and any("because" in receipt.figures for receipt in receipts):
            continue  # no job was run: an input was rejected
        for difference in _explain(before, after, elsewhere):
            units.setdefault((key[0], difference), []).append(key[1])
    return [ChangeBetweenRuns(difference, stage, named) for (stage, difference), named in units.items()]


def _explain(before: list[Record], after: list[Record], elsewhere: set[str]) -> list[RecipeDifference]:
    """Compare the recipes of two artifacts; where several recipes gave one of them, the closest pair."""
    pairs = [(left, right) for left in before for right in after]
    if not pairs:
        return [RecipeDifference("unknown", "there is no record of how it was made")]
    left, right = min(pairs, key=lambda pair: len(differences(pair[0].recipe, pair[1].recipe)))
    if left.recipe == right.recipe:
        devices = " and ".join(sorted({left.made["device"], right.made["device"]}))
        what = f"the same recipe gave different bytes (on {devices}): it is not byte-reproducible"
        return [RecipeDifference("chance", what)]
    return differences(*(_without(record.recipe, elsewhere) for record in (left, right)))


def _without(recipe: Recipe, names: set[str]) -> Recipe:
    """Leave out inputs that differ themselves: their own recipes give the cause."""
    kept = {label: value for label, value in recipe.inputs.items() if label.partition("#")[0] not in names}
    return replace(recipe, inputs=kept)


def _metrics(a: ResultsOfRun, b: ResultsOfRun) -> dict[str, tuple[float | None, float | None]]:
    """Compare the pooled figures of the headline models; figures that only one run has are left out."""
    sides: list[dict[str, float | None]] = []
    for run in (a, b):
        receipt = run.receipts.get(("report", "cohort"))
        path = run.store.object_path(receipt.digest) / "metrics.json" if receipt and receipt.digest else None
        content: Metrics = {"models": {}, "headline": ""}
        if path and path.is_file():
            content = cast("Metrics", json.loads(path.read_bytes()))
        model = content["models"].get(content["headline"])
        pooled = model["pooled"] if model else {}
        sides.append({f"{content['headline']} {name}": figure["value"] for name, figure in pooled.items()})
    return {
        name: (sides[0][name], sides[1][name])
        for name in sides[0]
        if name in sides[1] and sides[0][name] != sides[1][name]
    }


def _figure(value: float | None) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
