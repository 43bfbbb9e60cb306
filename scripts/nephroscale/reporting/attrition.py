"""How the cohort flows: what each stage accepted, what it rejected and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# What one unit of a stage is, in words: one, several.
UNITS = {
    "register": ("patient", "patients"),
    "reference": ("cohort", "cohorts"),
    "tiles": ("slide or field", "slides and fields"),
    "segmenter": ("cohort", "cohorts"),
    "glomeruli": ("slide or field", "slides and fields"),
    "tem": ("patient", "patients"),
    "features": ("patient and modality", "patients and modalities"),
    "folds": ("cohort", "cohorts"),
    "train": ("run", "runs"),
    "temperature": ("run", "runs"),
    "evaluate": ("run", "runs"),
    "predict": ("set of patients", "sets of patients"),
}


def count_stages(stages: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Count what each stage accepted and rejected, in the order given.

    Parameters
    ----------
    stages
        Stage to its units: `name`, `status`, `reason`, `figures`.

    Returns
    -------
    list of dict
        `stage`, `unit` (in words), `total`, `accepted`, `rejected`, and both as percentages.
    """
    rows = []
    for stage, units in stages.items():
        total, accepted = len(units), sum(unit["status"] == "accepted" for unit in units)
        if total:
            words = UNITS.get(stage, ("unit", "units"))
            rows.append(
                {
                    "stage": stage,
                    "unit": words[total > 1],
                    "total": total,
                    "accepted": accepted,
                    "rejected": total - accepted,
                    "accepted_percent": round(100 * accepted / total, 2),
                }
            )
    return rows


def list_rejections(
    stages: Mapping[str, Sequence[Mapping[str, Any]]], excluded: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Group what was rejected by stage, then by reason, and tell causes from what only follows from them.

    Parameters
    ----------
    stages
        As for :func:`count_stages`. A unit whose `figures` have `because` was rejected for want of that earlier unit.
    excluded
        Patients left out of the folds, and why.

    Returns
    -------
    list of dict
        `stage`, `reasons` (of each `reason` and `units`), and `follows`, how many units were lost with earlier ones.
    """
    groups = []
    for stage, units in stages.items():
        reasons: dict[str, list[str]] = {}
        follows = 0
        for unit in units:
            if unit["status"] == "accepted":
                continue
            if "because" in unit["figures"]:
                follows += 1
            else:
                reasons.setdefault(str(unit["reason"] or "no reason given"), []).append(str(unit["name"]))
        if stage == "folds":
            for patient, reason in sorted(excluded.items()):
                reasons.setdefault(f"left out of the folds: {reason}", []).append(patient)
        listed = [{"reason": reason, "units": sorted(names)} for reason, names in sorted(reasons.items())]
        if listed or follows:
            groups.append({"stage": stage, "reasons": listed, "follows": follows})
    return groups


def list_dropped_images(stages: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, str]]:
    """List single TEM images that did not enter their patient's bag, though the bag was made."""
    return [
        {"patient": str(unit["name"]), "image": str(image["id"]), "reason": str(image["reason"])}
        for unit in stages.get("tem", [])
        if unit["status"] == "accepted"
        for image in unit["figures"].get("dropped", [])
    ]
