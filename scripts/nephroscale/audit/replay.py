"""Making one artifact again, beside the store, to see whether the bytes agree."""

from __future__ import annotations

import runpy
from typing import TYPE_CHECKING, NamedTuple

from nephroscale.artifacts.digest import digest_tree
from nephroscale.artifacts.receipts import Receipt
from nephroscale.audit.graph import CURRENT
from nephroscale.audit.tolerance import Distance, measure_distance
from nephroscale.errors import NephroscaleError
from nephroscale.stages.job import make_again, set_numerical_environment

if TYPE_CHECKING:
    from nephroscale.audit.graph import Graph
    from nephroscale.stages.plan import Plan


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
        When the artifact was made by other code, settings or inputs than the present ones, or follows from another's
        rejection: there is nothing to compare with.
    """
    artifact = graph.artifacts[key]
    if artifact.state != CURRENT:
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
