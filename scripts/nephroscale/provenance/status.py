"""How far each artifact can be relied on: its own state, and that of what it rests on."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Every standing, from sound to unsound, with its name on the page.
STANDINGS = {
    "match": "matches",
    "rejected": "rejected",
    "follows": "follows a rejection",
    "rests": "rests on others that do not match",
    "unrecorded": "unrecorded",
    "stale": "stale",
    "lost": "lost",
}
#: The standings of artifacts that are not, or may not be, what the present code, configuration and data ask for.
UNSOUND = ("rests", "unrecorded", "stale", "lost")


def standings(artifacts: Sequence[Mapping[str, Any]]) -> list[str]:
    """The standing of each artifact of a document.

    Parameters
    ----------
    artifacts
        In the order of the stages, so that inputs come before what is made from them.

    Returns
    -------
    list of str
        Names from :data:`STANDINGS`. An artifact that matches by itself `rests` on others where something that it was
        made from, however far up, is stale, unrecorded or lost: the present code may give it another input.
    """
    found: list[str] = []
    for artifact in artifacts:
        if artifact["state"] != "current":
            found.append(artifact["state"])
        elif any(
            place is not None and place < len(found) and found[place] in UNSOUND for _, _, place in _inputs(artifact)
        ):
            found.append("rests")
        else:
            found.append("match" if artifact["status"] == "accepted" else "rejected")
    return found


def _inputs(artifact: Mapping[str, Any]) -> Sequence[tuple[str, str, int | None]]:
    return artifact["inputs"]


def behind(artifacts: Sequence[Mapping[str, Any]], places: Iterable[int]) -> set[int]:
    """The places of some artifacts and of everything that they were made from."""
    found = set(places)
    pending = list(found)
    while pending:
        for _, _, place in _inputs(artifacts[pending.pop()]):
            if place is not None and place not in found:
                found.add(place)
                pending.append(place)
    return found


def behind_model(artifacts: Sequence[Mapping[str, Any]], model: str) -> set[int]:
    """The places of everything behind a model's figures: its evaluations, what they were made from, and the report."""
    evaluations = [
        place
        for place, artifact in enumerate(artifacts)
        if artifact["stage"] == "evaluate" and artifact["unit"].startswith(f"{model}/")
    ]
    reports = {place for place, artifact in enumerate(artifacts) if artifact["stage"] == "report"}
    return behind(artifacts, evaluations) | reports


def patients(artifacts: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """The patient of each artifact that is made from one patient's images; None where there are several or none.

    What an artifact shares with all others, such as the stain reference, has no patient, and takes none away.
    """
    found: list[str | None] = []
    for artifact in artifacts:
        if artifact["stage"] == "register":
            found.append(artifact["unit"])
            continue
        named = {found[place] for _, _, place in _inputs(artifact) if place is not None and place < len(found)}
        named.discard(None)
        found.append(named.pop() if len(named) == 1 else None)
    return found


def count(names: Iterable[str]) -> dict[str, int]:
    """How many there are of each name, in the order of first appearance."""
    return dict(Counter(names))
