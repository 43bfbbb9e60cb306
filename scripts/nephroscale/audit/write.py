"""Writing the audit of a results folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nephroscale.artifacts.digest import pretty_json
from nephroscale.audit.document import count_states, make_document
from nephroscale.audit.graph import read_graph

if TYPE_CHECKING:
    from pathlib import Path

    from nephroscale.stages.plan import Plan


def write_audit(plan: Plan, out: Path) -> dict[str, Any]:
    """Write the audit from receipts and records alone.

    Parameters
    ----------
    plan
        Of the results folder.
    out
        Folder to make: ``audit.json`` (see :func:`nephroscale.audit.document.make_document`).

    Returns
    -------
    dict
        ``artifacts``, how many are in each state, and ``conflicts``.
    """
    graph = read_graph(plan, plan.stages_before("audit"))
    document = make_document(plan, graph)
    out.mkdir(parents=True)
    (out / "audit.json").write_text(pretty_json(document), encoding="utf-8")
    return {
        "artifacts": len(document["artifacts"]),
        "states": count_states(document),
        "conflicts": len(document["conflicts"]),
    }
