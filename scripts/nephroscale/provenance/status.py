"""The status of each artifact: its own state, combined with the states of its ancestors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nephroscale.collect import reachable
from nephroscale.provenance.document_types import ArtifactEntry

#: Every status with its name on the page, from valid to invalid.
STATUSES = {
    "match": "matches",
    "rejected": "rejected",
    "follows": "follows a rejection",
    "outdated_upstream": "outdated upstream",
    "unrecorded": "unrecorded",
    "outdated": "outdated",
    "lost": "lost",
}
#: The statuses of artifacts that are not, or may not be, what the present code, configuration and data give.
INVALID = ("outdated_upstream", "unrecorded", "outdated", "lost")


def statuses(artifacts: Sequence[ArtifactEntry]) -> list[str]:
    """Find the status of each artifact of a document.

    Parameters
    ----------
    artifacts
        In the order of the stages: inputs come before the artifacts that are made from them.

    Returns
    -------
    list of str
        Keys of :data:`STATUSES`. A current artifact is `outdated_upstream` where any of its ancestors is outdated,
        unrecorded or lost, since the present code may give it another input.
    """
    found: list[str] = []
    for artifact in artifacts:
        if artifact["state"] != "current":
            found.append(artifact["state"])
        elif any(
            place is not None and place < len(found) and found[place] in INVALID for _, _, place in artifact["inputs"]
        ):
            found.append("outdated_upstream")
        else:
            found.append("match" if artifact["status"] == "accepted" else "rejected")
    return found


def ancestors(artifacts: Sequence[ArtifactEntry], places: Iterable[int]) -> set[int]:
    """Find the places of some artifacts and of everything that they were made from."""
    return reachable(places, lambda place: [each for *_, each in artifacts[place]["inputs"] if each is not None])


def ancestors_of_model(artifacts: Sequence[ArtifactEntry], model: str) -> set[int]:
    """Find the places of a model's evaluations, of everything that they were made from, and of the report."""
    evaluations = [
        place
        for place, artifact in enumerate(artifacts)
        if artifact["stage"] == "evaluate" and artifact["unit"].startswith(f"{model}/")
    ]
    reports = {place for place, artifact in enumerate(artifacts) if artifact["stage"] == "report"}
    return ancestors(artifacts, evaluations) | reports


def patients(artifacts: Sequence[ArtifactEntry]) -> list[str | None]:
    """Find the patient of each artifact that is made from one patient's images; None for several patients or none.

    Inputs without a patient, such as the stain reference, are ignored.
    """
    found: list[str | None] = []
    for artifact in artifacts:
        if artifact["stage"] == "register":
            found.append(artifact["unit"])
            continue
        named = {found[place] for _, _, place in artifact["inputs"] if place is not None and place < len(found)}
        named.discard(None)
        found.append(named.pop() if len(named) == 1 else None)
    return found
