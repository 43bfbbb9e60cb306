"""Making one artifact again, beside the store, to see whether the bytes agree."""

from __future__ import annotations

import runpy
from typing import TYPE_CHECKING, NamedTuple

from nephroscale.engine.job import make_again, set_numerical_environment
from nephroscale.errors import NephroscaleError
from nephroscale.provenance.graph import CURRENT, FOLLOWS, LOST
from nephroscale.provenance.tolerance import Distance, measure_distance
from nephroscale.store.digest import digest_tree
from nephroscale.store.receipts import Receipt

if TYPE_CHECKING:
    from nephroscale.engine.plan import Plan
    from nephroscale.provenance.graph import Artifact, Graph


class Replay(NamedTuple):
    """What came of it.

    Parameters
    ----------
    before, after
        The receipt as it stands, and what was made now.
    distance
        How far the objects are apart; None where their bytes agree, or where either was rejected.
    """

    before: Receipt
    after: Receipt
    distance: Distance | None

    @property
    def agrees(self) -> bool:
        """Whether status, reason and bytes are the same."""
        return (self.before.status, self.before.reason, self.before.digest) == (
            self.after.status,
            self.after.reason,
            self.after.digest,
        )


def replay(plan: Plan, graph: Graph, key: tuple[str, str]) -> Replay:
    """Compute an artifact again in a scratch folder; nothing is published, recorded or changed.

    Parameters
    ----------
    plan, graph
        Of the results folder.
    key
        Stage and unit of the artifact.

    Raises
    ------
    NephroscaleError
        When the artifact was made by other code, settings or inputs than the present ones, or nothing was run for it
        since something that it needs was rejected: there is nothing to compare with. Also when an object or a raw file
        that it reads is not there.
    """
    artifact = graph.artifacts[key]
    _find_inputs(plan, graph, artifact)
    if artifact.state != CURRENT and not (artifact.state == FOLLOWS and artifact.record):
        raise NephroscaleError(
            f"{artifact.name} is not what the present code, settings and inputs make: "
            + ("; ".join(artifact.because[:3]) or artifact.state)
            + ".",
            where=str(plan.receipt_path(*key)),
            todo="Check out the code and configuration that made it (`nephroscale trace` names the commit), or run the "
            "workflow again first.",
        )
    set_numerical_environment(plan.config["compute"])
    stage = plan.stages[key[0]]
    make = runpy.run_path(str(plan.scripts / f"{stage.rule}.py"), init_globals={"snakemake": None})["make"]
    with plan.store.scratch() as scratch:
        receipt = make_again(plan, stage, key[1], make, scratch)
        distance = None
        if receipt.accepted:
            digest, kind, entries = digest_tree(scratch / "out")
            size = sum(entry.size for entry in entries)
            receipt = Receipt(**{**vars(receipt), "digest": digest, "kind": kind, "size": size})
            stored = plan.store.find(str(artifact.receipt.digest)) if artifact.receipt.accepted else None
            if stored and digest != artifact.receipt.digest:
                distance = measure_distance(scratch / "out", stored)
    return Replay(artifact.receipt, receipt, distance)


def _find_inputs(plan: Plan, graph: Graph, artifact: Artifact) -> None:
    """Say which of the objects and raw files that an artifact reads is not there, before anything is computed."""
    for need in artifact.inputs:
        read = need.label.partition("#")[2] not in {"status", "receipt"}
        if need.artifact and read and graph.artifacts[need.artifact].state == LOST:
            lost = graph.artifacts[need.artifact]
            raise NephroscaleError(
                f"{artifact.name} cannot be made again: its input {lost.name} is lost.",
                where=str(plan.store.object_path(str(lost.receipt.digest))),
                todo="Run the workflow again, which makes what is lost, and then replay.",
            )
    for image in plan.stages[artifact.receipt.stage].raw(plan, artifact.receipt.unit):
        for path in filter(None, (image.path, image.annotation)):
            if not plan.raw_cache.is_there(path):
                raise NephroscaleError(
                    f"{artifact.name} cannot be made again: a raw file of {image.id} is not there now.",
                    where=str(path),
                    todo="Put it back, or correct the path in images.csv.",
                )
