"""The graph of artifacts: read from receipts and records alone, held against the present code and configuration."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from nephroscale.artifacts.receipts import Receipt
from nephroscale.audit.record_index import RecordIndex, same_outcome
from nephroscale.audit.wording import differences

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from nephroscale.stages.plan import Plan, Recipe

CURRENT, STALE, UNRECORDED, FOLLOWS, LOST = "current", "stale", "unrecorded", "follows", "lost"


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
        How it was made, as the store's record says: ``recipe``, ``parts``, ``receipt``, ``made``; None where the
        receipt follows from another's rejection, or where no record tells of it.
    state
        ``current`` (made by the present code, configuration and data), ``stale`` (by others), ``follows`` (rejected
        because something that it needs is), ``unrecorded``, ``lost`` (its object is not there, or not what it was).
    because
        Why it is stale or lost, in sentences.
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
    artifacts = {key: _artifact(plan, receipt, inputs, index) for key, receipt in receipts.items()}
    for artifact in artifacts.values():
        if artifact.record:
            artifact.repeats = repeats.get(artifact.record["recipe"], [])
    return Graph(artifacts, missing)


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


def _artifact(plan: Plan, receipt: Receipt, inputs: _Inputs, index: RecordIndex) -> Artifact:
    artifact = Artifact(receipt)
    if not receipt.accepted and "because" in receipt.figures:
        artifact.state = FOLLOWS
        artifact.inputs = [inputs[receipt.figures["because"], "rejected"]]
        return artifact
    now = plan.examine(plan.stages[receipt.stage], receipt.unit)
    recipe: Recipe | None = None if now is None or isinstance(now, Receipt) else now
    record = index.read(recipe.digest) if recipe else None
    if record and same_outcome(record, receipt):
        # The same parts, but with the plan's own lists of code and packages: 100,000 records share them.
        artifact.record, artifact.state = {**record, "parts": recipe}, CURRENT
    elif record := index.closest_that_gave(receipt, recipe):
        artifact.record, artifact.state = record, STALE
        artifact.because = [change.text for change in differences(record["parts"], recipe)] if recipe else []
        artifact.because = artifact.because or ["something that it depends on is not made"]
    if receipt.digest and plan.store.find(receipt.digest) is None:
        artifact.state = LOST
        artifact.because = ["its object is not in the store, may not be read, or was damaged and set aside"]
    artifact.inputs = [inputs[named] for named in artifact.parts.get("inputs", {}).items()]
    return artifact
