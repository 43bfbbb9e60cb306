"""Comparing artifacts with what the same work gave on another machine: by tolerance, not to the byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nephroscale.audit.tolerance import measure_distance

if TYPE_CHECKING:
    from nephroscale.artifacts.store import Store
    from nephroscale.audit.graph import Graph
    from nephroscale.audit.record_index import RecordIndex


def compare_elsewhere(store: Store, graph: Graph, index: RecordIndex) -> list[dict[str, Any]]:
    """Hold each artifact against those that differ from it by the machine alone.

    Returns
    -------
    list of dict
        ``artifact`` (stage/unit), ``device`` and ``compute`` of the other, ``equal`` (to the byte), ``within`` (the
        tolerance), ``largest`` (absolute difference of any number, or None) and ``sentence``. Inputs may differ too:
        what an artifact was made from on the other machine is as far off as its own line says.
    """
    found = []
    for artifact in graph:
        if artifact.record is None or not artifact.receipt.digest:
            continue
        for other in index.same_work_elsewhere(artifact.record):
            digest = other["receipt"]["digest"]
            here, there = store.find(artifact.receipt.digest), store.find(digest) if digest else None
            if here is None or there is None:
                continue
            distance = measure_distance(there, here)
            found.append(
                {
                    "artifact": artifact.name,
                    "device": other["made"]["device"],
                    "compute": other["parts"]["compute"],
                    "equal": not distance.files,
                    "within": distance.within,
                    "largest": distance.largest,
                    "sentence": distance.sentence(),
                }
            )
    return found
