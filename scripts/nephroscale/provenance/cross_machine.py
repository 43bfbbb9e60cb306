"""Comparing artifacts with what the same work gave on another machine: by tolerance, not to the byte."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from nephroscale.provenance.tolerance import measure_distance

if TYPE_CHECKING:
    from nephroscale.provenance.graph import Graph
    from nephroscale.provenance.record_index import RecordIndex
    from nephroscale.store.objects import Store


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
    alike: dict[str, set[str]] = defaultdict(set)  # artifact to the digests, of it and its parts, on other machines
    for artifact in graph:
        if artifact.record is None or not artifact.receipt.digest:
            continue
        for other in index.same_work_elsewhere(artifact.record):
            told = other["receipt"]
            if not told["digest"] or not _same_sources(artifact.parts["inputs"], other["parts"]["inputs"], alike):
                continue
            alike[artifact.name] |= {told["digest"], *told["parts"].values()}
            here, there = store.find(artifact.receipt.digest), store.find(told["digest"])
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


def _same_sources(here: dict[str, str], there: dict[str, str], alike: dict[str, set[str]]) -> bool:
    """Whether inputs are the same, or differ by the machine alone in their turn."""
    return here.keys() == there.keys() and all(
        there[label] == value or there[label] in alike[label.partition("#")[0]] for label, value in here.items()
    )
