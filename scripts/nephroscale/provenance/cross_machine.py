"""Comparison of artifacts with the same work on another machine, within a tolerance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from nephroscale.provenance.document_types import Comparison
from nephroscale.provenance.graph import Graph
from nephroscale.provenance.record_index import RecordIndex
from nephroscale.provenance.tolerance import measure_distance
from nephroscale.store.objects import Store


def compare_elsewhere(store: Store, graph: Graph, index: RecordIndex) -> list[Comparison]:
    """Compare each artifact with those that differ from it only by the machine.

    Returns
    -------
    list of Comparison
        Inputs may differ too, where they differ only by the machine in their turn.
    """
    found: list[Comparison] = []
    equivalent: dict[str, set[str]] = defaultdict(set)  # artifact to the digests of it and its parts on other machines
    for artifact in graph:
        if artifact.record is None or not artifact.receipt.digest:
            continue
        for other in index.same_work_elsewhere(artifact.record):
            digest = other.receipt.digest
            if not digest or not _same_sources(artifact.record.recipe.inputs, other.recipe.inputs, equivalent):
                continue
            equivalent[artifact.name] |= {digest, *other.receipt.parts.values()}
            this_object, other_object = store.find(artifact.receipt.digest), store.find(digest)
            if this_object is None or other_object is None:
                continue
            distance = measure_distance(other_object, this_object)
            found.append(
                {
                    "artifact": artifact.name,
                    "device": other.made["device"],
                    "compute": other.recipe.compute,
                    "equal": not distance.files,
                    "within": distance.within,
                    "largest": distance.largest,
                    "sentence": distance.sentence(),
                }
            )
    return found


def _same_sources(these: Mapping[str, str], others: Mapping[str, str], equivalent: Mapping[str, set[str]]) -> bool:
    """Whether inputs are the same, or differ only by the machine in their turn."""
    return these.keys() == others.keys() and all(
        others[label] == value or others[label] in equivalent[label.partition("#")[0]] for label, value in these.items()
    )
