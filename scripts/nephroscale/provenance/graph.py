"""The graph of artifacts, read from receipts and records, and compared with the present code and configuration."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from nephroscale.collect import grouped
from nephroscale.engine.plan import Plan
from nephroscale.engine.raw_cache import raw_paths
from nephroscale.provenance.document_types import RepeatEntry
from nephroscale.provenance.recipe_diff import differences
from nephroscale.provenance.record_index import RecordIndex, same_outcome
from nephroscale.store.receipts import Receipt
from nephroscale.store.recipe import Recipe
from nephroscale.store.records import Made, Record
from nephroscale.text import name_some

CURRENT, OUTDATED, UNRECORDED, FOLLOWS, LOST = "current", "outdated", "unrecorded", "follows", "lost"
MOST_NAMED = 4
Key: TypeAlias = tuple[str, str]


class ArtifactInput(NamedTuple):
    """One input of an artifact.

    Parameters
    ----------
    label
        ``stage/unit`` or ``stage/unit#part`` of another artifact, or the name of a raw file, such as an image id.
    value
        Its digest, or for ``#status`` its status, as in the recipe.
    artifact
        Key of the artifact in the graph; None for a raw file, and for an artifact that is no longer planned.
    """

    label: str
    value: str
    artifact: Key | None


@dataclass
class Artifact:
    """A unit of work with its receipt, record and state.

    Attributes
    ----------
    receipt
        Of the results folder.
    record
        How it was made; None where nothing was run, because an input was rejected, or where there is no record.
    state
        ``current`` (made by the present code, configuration and data), ``outdated`` (made by others), ``follows``
        (rejected because an input is), ``unrecorded``, or ``lost`` (its object is missing or damaged).
    because
        Why it is outdated or lost, in sentences. Of a current one: which of its raw files are missing now, so that
        their recorded digests were used.
    inputs
        The inputs that it was made from.
    repeats
        Later runs of the same recipe.
    """

    receipt: Receipt
    record: Record | None = None
    state: str = UNRECORDED
    because: list[str] = field(default_factory=list)
    inputs: list[ArtifactInput] = field(default_factory=list)
    repeats: list[RepeatEntry] = field(default_factory=list)

    @property
    def key(self) -> Key:
        """Stage and unit."""
        return self.receipt.stage, self.receipt.unit

    @property
    def name(self) -> str:
        """``stage/unit``."""
        return "/".join(self.key)

    @property
    def made(self) -> Made:
        """When, where and how it was made; empty where there is no record."""
        return self.record.made if self.record else {}


class Graph:
    """All artifacts of a results folder, in the order of the stages.

    Parameters
    ----------
    artifacts
        By stage and unit.
    missing
        Units that the plan names and that have no receipt.
    """

    def __init__(self, artifacts: dict[Key, Artifact], missing: list[Key]) -> None:
        self.artifacts = artifacts
        self.missing = missing

    def __iter__(self) -> Iterator[Artifact]:
        return iter(self.artifacts.values())


def read_graph(plan: Plan, stages: Iterable[str] | None = None, index: RecordIndex | None = None) -> Graph:
    """Read the graph of a plan's results folder.

    Parameters
    ----------
    plan
        Of the results folder, with the present code, configuration and tables.
    stages
        Read only these stages; all by default.
    index
        Index of the store's records; made where it is not given.
    """
    stages = list(stages or plan.stages)
    receipts = {
        (stage, unit): receipt
        for stage in stages
        for unit in plan.units(stage)
        if (receipt := plan.receipt(stage, unit))
    }
    # New patients are predicted on request.
    missing = [(stage, unit) for stage in stages for unit in plan.study_units(stage) if (stage, unit) not in receipts]
    repeats: dict[str, list[RepeatEntry]] = grouped(
        (
            record.recipe.digest,
            {
                "made": record.made,
                "agrees": bool(record.agrees),
                "digest": record.receipt.digest,
                "reason": record.receipt.reason,
            },
        )
        for record in plan.records.repeats()
    )
    index = index or RecordIndex(plan.records)
    absent = _use_recorded_digests(plan, receipts, index)
    artifacts = {
        key: _artifact(plan, receipt, receipts.keys(), index, absent.get(key, [])) for key, receipt in receipts.items()
    }
    for artifact in artifacts.values():
        if artifact.record:
            artifact.repeats = repeats.get(artifact.record.recipe.digest, [])
    return Graph(artifacts, missing)


def _use_recorded_digests(plan: Plan, receipts: Mapping[Key, Receipt], index: RecordIndex) -> dict[Key, list[str]]:
    """Use the recorded digests of raw files that are missing now; return their names by artifact of `register`."""
    absent = {}
    for unit in plan.units("register"):
        gone = {
            name: path
            for name, path in raw_paths(plan.stages["register"].raw(plan, unit)).items()
            if not plan.raw_cache.is_there(path)
        }
        if gone:
            receipt = receipts.get(("register", unit))
            records = index.all_that_gave(receipt) if receipt else []
            recorded = records[0].recipe.inputs if records else {}
            plan.raw_cache.recorded |= {path: recorded.get(name) for name, path in gone.items()}
            absent["register", unit] = list(gone)
    return absent


def _input(label: str, value: str, keys: Collection[Key]) -> ArtifactInput:
    stage, _, rest = label.partition("/")
    key = (stage, rest.partition("#")[0])
    return ArtifactInput(label, value, key if key in keys else None)


def _artifact(plan: Plan, receipt: Receipt, keys: Collection[Key], index: RecordIndex, absent: list[str]) -> Artifact:
    artifact = Artifact(receipt)
    follows = not receipt.accepted and "because" in receipt.figures
    try:
        now = plan.examine(plan.stages[receipt.stage], receipt.unit)
    except FileNotFoundError:  # it depends on the content of a lost object
        now = None
    recipe: Recipe | None = None if now is None or isinstance(now, Receipt) else now
    record = index.read(recipe.digest) if recipe else None
    if record and same_outcome(record, receipt):
        artifact.record, artifact.state = record, FOLLOWS if follows else CURRENT
    elif not (follows and isinstance(now, Receipt)) and (record := index.closest_that_gave(receipt, recipe)):
        artifact.record, artifact.state = record, OUTDATED
        artifact.because = [change.text for change in differences(record.recipe, recipe)] if recipe else []
        if not artifact.because and not absent:
            artifact.because = ["one of its inputs is not made, or lost"]
    if follows and artifact.record is None:  # no job was run for it
        artifact.state, artifact.inputs = FOLLOWS, [_input(str(receipt.figures["because"]), "rejected", keys)]
        return artifact
    artifact.because = _describe_absent(absent) + artifact.because
    if receipt.digest and plan.store.find(receipt.digest) is None:
        artifact.state = LOST
        artifact.because = ["its object is missing from the store, not readable, or was damaged and set aside"]
    if artifact.record:
        artifact.inputs = [_input(*item, keys) for item in artifact.record.recipe.inputs.items()]
    return artifact


def _describe_absent(names: list[str]) -> list[str]:
    """One sentence about the raw files that are missing now, where there are any."""
    if len(names) < 2:
        return [f"its raw file {name} is missing now" for name in names]
    return [f"{len(names)} of its raw files are missing now: {name_some(names, MOST_NAMED)}"]
