"""The sides of a split, and the assertion that each patient is on one of them."""

from __future__ import annotations

from typing import Any

from nephroscale.errors import NephroscaleError

SIDES = ("train", "validation", "test")


def assert_disjoint(folds: dict[str, Any]) -> None:
    """Assert that every patient is on exactly one side of every fold, and tested exactly once.

    Called where folds are made and wherever they are read.

    Parameters
    ----------
    folds
        What ``folds.json`` holds: ``labels``, ``folds``, and ``groups`` (patient to group), if there are any.

    Raises
    ------
    NephroscaleError
        Naming the fold and the patients that are on two sides, on none, tested twice or never, or torn from their
        group.
    """
    everyone = set(folds["labels"])
    tested: list[str] = []
    for fold in folds["folds"]:
        where = f"fold {fold['name']}"
        placed = [patient for side in SIDES for patient in fold[side]]
        _refuse(_repeated(placed), "are on more than one side", where)
        _refuse(everyone - set(placed), "are on no side", where)
        _refuse(set(placed) - everyone, "are not eligible", where)
        _refuse(_torn(fold, folds.get("groups", {})), "have someone of their group on another side", where)
        tested += fold["test"]
    _refuse(_repeated(tested), "are tested in more than one fold", "all folds")
    _refuse(everyone - set(tested), "are tested in no fold", "all folds")


def _repeated(patients: list[str]) -> set[str]:
    seen: set[str] = set()
    return {patient for patient in patients if patient in seen or seen.add(patient)}  # type: ignore[func-returns-value]


def _torn(fold: dict[str, Any], groups: dict[str, str]) -> set[str]:
    side_of = {patient: side for side in SIDES for patient in fold[side]}
    sides: dict[str, set[str]] = {}
    for patient, group in groups.items():
        if patient in side_of:
            sides.setdefault(group, set()).add(side_of[patient])
    return {patient for patient, group in groups.items() if len(sides.get(group, ())) > 1}


def _refuse(patients: set[str], what: str, where: str) -> None:
    if patients:
        raise NephroscaleError(
            f"The folds are not a split of the patients: {', '.join(sorted(patients))} {what}.",
            where=where,
            todo="Make the folds again; do not edit folds.json.",
        )
