"""Replay: recompute one artifact in a scratch folder and compare its bytes with the store."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from nephroscale.engine.make_units import make_again
from nephroscale.engine.plan import Plan
from nephroscale.engine.stage import Stage
from nephroscale.errors import NephroscaleError
from nephroscale.provenance.graph import CURRENT, FOLLOWS, LOST, Artifact, Graph
from nephroscale.provenance.tolerance import Distance, measure_distance
from nephroscale.store.digest import digest_tree
from nephroscale.store.receipts import Receipt


class Replay(NamedTuple):
    """The outcome of a replay.

    Parameters
    ----------
    before, after
        The stored receipt, and that of the recomputed artifact.
    distance
        Distance of the two objects; None where their bytes agree, or where either was rejected.
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

    @property
    def agrees_wholly(self) -> bool:
        """Whether the figures and the digests of parts are the same too."""
        return self.agrees and (self.before.figures, self.before.parts) == (self.after.figures, self.after.parts)


def replay(plan: Plan, graph: Graph, key: tuple[str, str]) -> Replay:
    """Recompute an artifact in a scratch folder; nothing is published, recorded or changed.

    Parameters
    ----------
    plan, graph
        Of the results folder.
    key
        Stage and unit of the artifact.

    Raises
    ------
    NephroscaleError
        When the artifact was not made by the present code, settings and inputs, when no job was run for it because an
        input was rejected, or when an object or a raw file that it reads is missing.
    """
    artifact = graph.artifacts[key]
    _check_inputs(plan, graph, artifact)
    if artifact.state != CURRENT and not (artifact.state == FOLLOWS and artifact.record):
        raise NephroscaleError(
            f"{artifact.name} was not made by the present code, settings and inputs: "
            + ("; ".join(artifact.because[:3]) or artifact.state)
            + ".",
            where=str(plan.receipt_path(*key)),
            fix="Check out the code and configuration that made it (`nephroscale trace` names the commit), or run the "
            "workflow again first.",
        )
    return recompute(plan, plan.stages[key[0]], key[1], artifact.receipt)


def recompute(plan: Plan, stage: Stage, unit: str, before: Receipt) -> Replay:
    """Make an artifact in a scratch folder and compare it with the one of an earlier receipt."""
    with plan.store.scratch() as scratch:
        receipt = make_again(plan, stage, unit, scratch)
        distance = None
        if receipt.accepted:
            digest, kind, entries = digest_tree(scratch / "out")
            receipt = replace(receipt, digest=digest, kind=kind, size=sum(entry.size for entry in entries))
            stored = plan.store.find(str(before.digest)) if before.accepted else None
            if stored and digest != before.digest:
                distance = measure_distance(scratch / "out", stored)
    return Replay(before, receipt, distance)


def _check_inputs(plan: Plan, graph: Graph, artifact: Artifact) -> None:
    """Report an object or raw file that an artifact reads and that is missing, before anything is computed."""
    for need in artifact.inputs:
        read = need.label.partition("#")[2] not in {"status", "receipt"}
        if need.artifact and read and graph.artifacts[need.artifact].state == LOST:
            lost = graph.artifacts[need.artifact]
            raise NephroscaleError(
                f"{artifact.name} cannot be recomputed: its input {lost.name} is lost.",
                where=str(plan.store.object_path(str(lost.receipt.digest))),
                fix="Run the workflow again to recompute lost objects, then replay.",
            )
    for image in plan.stages[artifact.receipt.stage].raw(plan, artifact.receipt.unit):
        for path in filter(None, (image.path, image.annotation)):
            if not plan.raw_cache.is_there(path):
                raise NephroscaleError(
                    f"{artifact.name} cannot be recomputed: a raw file of {image.id} is missing.",
                    where=str(path),
                    fix="Put it back, or correct the path in images.csv.",
                )
