"""The graph of artifacts: read from receipts and records alone, held against the present code and configuration."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from nephroscale.provenance.recipe_diff import differences
from nephroscale.provenance.record_index import RecordIndex, same_outcome
from nephroscale.stages.register import raw_paths
from nephroscale.store.receipts import Receipt

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from nephroscale.engine.plan import Plan, Recipe

CURRENT, STALE, UNRECORDED, FOLLOWS, LOST = "current", "stale", "unrecorded", "follows", "lost"
MOST_NAMED = 4


class Input(NamedTuple):
    """One thing that an artifact was made from.

    Parameters
    ----------
    label
        ``stage/unit`` or ``stage/unit#part`` of another artifact, or the name of a raw file, such as an image id.
    value
        Its digest, or for ``#status`` its status, as the recipe holds it.
    artifact
        Key of the artifact in the graph; None for a raw file, and where the plan no longer holds the artifact.
    """

    label: str
    value: str
    artifact: tuple[str, str] | None


@dataclass
class Artifact:
    """One unit of work with what is known of it.

    Attributes
    ----------
    receipt
        As it lies in the results folder.
    record
        How it was made, as the store's record says: ``recipe``, ``parts``, ``receipt``, ``made``; None where nothing
        was run, since the receipt follows from another's rejection, or where no record tells of it.
    state
        ``current`` (made by the present code, configuration and data), ``stale`` (by others), ``follows`` (rejected
        because something that it needs is), ``unrecorded``, ``lost`` (its object is not there, or not what it was).
    because
        Why it is stale or lost, in sentences. Of a current one: which of its raw files are not there now, so
        that it was judged by what is recorded of them.
    inputs
        What it was made from.
    repeats
        Later runs of the same recipe, each with ``made``, ``agrees``, and the ``digest`` or ``reason`` that it gave.
    """

    receipt: Receipt
    record: dict[str, Any] | None = None
    state: str = UNRECORDED
    because: list[str] = field(default_factory=list)
    inputs: list[Input] = field(default_factory=list)
    repeats: list[dict[str, Any]] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str]:
        """Stage and unit."""
        return self.receipt.stage, self.receipt.unit

    @property
    def name(self) -> str:
        """Stage and unit as one word."""
        return "/".join(self.key)

    @property
    def parts(self) -> dict[str, Any]:
        """The parts of its recipe; empty where there is no record."""
        return self.record["parts"] if self.record else {}

    @property
    def made(self) -> dict[str, Any]:
        """When, where and how long; empty where there is no record."""
        return self.record["made"] if self.record else {}


class Graph:
    """All artifacts of a results folder, in the order of the stages.

    Parameters
    ----------
    artifacts
        By stage and unit.
    missing
        Units that the plan names and that have no receipt.
    """

    def __init__(self, artifacts: dict[tuple[str, str], Artifact], missing: list[tuple[str, str]]) -> None:
        self.artifacts = artifacts
        self.missing = missing

    def __iter__(self) -> Iterator[Artifact]:
        return iter(self.artifacts.values())

    def upstream(self, key: tuple[str, str]) -> list[Artifact]:
        """An artifact and everything that it was made from, nearest first."""
        found: dict[tuple[str, str], None] = {key: None}
        pending = [key]
        while pending:
            following = []
            for current in pending:
                for need in self.artifacts[current].inputs:
                    if need.artifact and need.artifact not in found:
                        found[need.artifact] = None
                        following.append(need.artifact)
            pending = following
        return [self.artifacts[found_key] for found_key in found]

    def in_state(self, state: str) -> list[Artifact]:
        """The artifacts of one state."""
        return [artifact for artifact in self if artifact.state == state]


def read_graph(plan: Plan, stages: Iterable[str] | None = None, index: RecordIndex | None = None) -> Graph:
    """Read the graph of a plan's results folder.

    Parameters
    ----------
    plan
        Tells where receipts and records are, and what code, configuration and tables ask for now.
    stages
        Only these stages (all of them when left out).
    index
        Of the store's records, where one is at hand already.
    """
    receipts, missing = {}, []
    for stage in stages or plan.stages:
        study = set(plan.study_units(stage))
        for unit in plan.units(stage):
            receipt = plan.receipt(stage, unit)
            if receipt is None and unit in study:  # new patients are predicted on request
                missing.append((stage, unit))
            elif receipt is not None:
                receipts[stage, unit] = receipt
    repeats: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for repeat in plan.records.repeats():
        told = {"digest": repeat["receipt"]["digest"], "reason": repeat["receipt"]["reason"]}
        repeats[repeat["recipe"]].append({"made": repeat["made"], "agrees": repeat["agrees"], **told})
    index = index or RecordIndex(plan.records)
    inputs = _Inputs(receipts.keys())
    absent = _go_by_records(plan, receipts, index)
    artifacts = {key: _artifact(plan, receipt, inputs, index, absent.get(key, [])) for key, receipt in receipts.items()}
    for artifact in artifacts.values():
        if artifact.record:
            artifact.repeats = repeats.get(artifact.record["recipe"], [])
    return Graph(artifacts, missing)


def _go_by_records(
    plan: Plan, receipts: Mapping[tuple[str, str], Receipt], index: RecordIndex
) -> dict[tuple[str, str], list[str]]:
    """Let raw files that are not there now count as what is recorded of them; their names, by who registers them."""
    absent = {}
    for unit in plan.units("register"):
        gone = {name: path for name, path in raw_paths(plan, unit).items() if not plan.raw_cache.is_there(path)}
        if gone:
            receipt = receipts.get(("register", unit))
            records = index.all_that_gave(receipt) if receipt else []
            told = records[0]["parts"]["inputs"] if records else {}
            plan.raw_cache.recorded |= {path: told.get(name) for name, path in gone.items()}
            absent["register", unit] = list(gone)
    return absent


class _Inputs(dict[tuple[str, str], Input]):
    """Inputs by label and value, each held once: every fold of every model reads the same bags."""

    def __init__(self, keys: Collection[tuple[str, str]]) -> None:
        super().__init__()
        self._keys = keys

    def __missing__(self, named: tuple[str, str]) -> Input:
        label, value = named
        stage, _, rest = label.partition("/")
        key = (stage, rest.partition("#")[0])
        found = self[named] = Input(label, str(value), key if key in self._keys else None)
        return found


def _artifact(plan: Plan, receipt: Receipt, inputs: _Inputs, index: RecordIndex, absent: list[str]) -> Artifact:
    artifact = Artifact(receipt)
    follows = not receipt.accepted and "because" in receipt.figures
    try:
        now = plan.examine(plan.stages[receipt.stage], receipt.unit)
    except FileNotFoundError:  # it depends on what is in an object, and that is lost
        now = None
    recipe: Recipe | None = None if now is None or isinstance(now, Receipt) else now
    record = index.read(recipe.digest) if recipe else None
    if record and same_outcome(record, receipt):
        # The same parts, but with the plan's own lists of code and packages: 100,000 records share them.
        artifact.record, artifact.state = {**record, "parts": recipe}, FOLLOWS if follows else CURRENT
    elif not (follows and isinstance(now, Receipt)) and (record := index.closest_that_gave(receipt, recipe)):
        artifact.record, artifact.state = record, STALE
        artifact.because = [change.text for change in differences(record["parts"], recipe)] if recipe else []
        if not artifact.because and not absent:
            artifact.because = ["something that it depends on is not made, or lost"]
    if follows and artifact.record is None:  # nothing was run for it
        artifact.state, artifact.inputs = FOLLOWS, [inputs[receipt.figures["because"], "rejected"]]
        return artifact
    artifact.because = _told_absent(absent) + artifact.because
    if receipt.digest and plan.store.find(receipt.digest) is None:
        artifact.state = LOST
        artifact.because = ["its object is not in the store, may not be read, or was damaged and set aside"]
    artifact.inputs = [inputs[named] for named in artifact.parts.get("inputs", {}).items()]
    return artifact


def _told_absent(names: list[str]) -> list[str]:
    """One sentence about the raw files that are not there now, where there are any."""
    if len(names) < 2:
        return [f"its raw file {name} is not there now" for name in names]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return [f"{len(names)} of its raw files are not there now: {', '.join(names[:MOST_NAMED])}{more}"]
