"""Reading a fold, and holding it to its promise: a patient is on one side."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Fold:
    """One fold of `folds.json`.

    Attributes
    ----------
    name
        The fold's name.
    train, validation, test
        Patient ids, sorted; no patient is on two sides.
    classes
        Names of the classes, in the order of their indices.
    labels
        Patient id to class index, for every patient of the fold.
    second
        Patient id to the other class index, of those who lie between two classes and count half for each.
    lacking
        Patient id to the modalities that the patient lacks and is not excluded for.
    """

    name: str
    train: list[str]
    validation: list[str]
    test: list[str]
    classes: list[str]
    labels: dict[str, int]
    second: dict[str, int] = field(default_factory=dict)
    lacking: dict[str, list[str]] = field(default_factory=dict)


def read_fold(folds: Mapping[str, Any], name: str) -> Fold:
    """Pick a fold and check that no patient is on two sides or twice on one.

    Parameters
    ----------
    folds
        Content of `folds.json`.
    name
        The fold's name.

    Raises
    ------
    NephroscaleError
        When there is no such fold, a patient is on two sides, a side to train on is empty, or a label is missing.
    """
    found = [fold for fold in folds["folds"] if fold["name"] == name]
    if len(found) != 1:
        raise NephroscaleError(
            f"There are {len(found)} folds named {name!r}.", where="folds.json", todo="Make the folds again."
        )
    sides = {side: sorted(found[0][side]) for side in ("train", "validation", "test")}
    for one, other in combinations(sides, 2):
        both = sorted(set(sides[one]) & set(sides[other]))
        if both:
            raise NephroscaleError(
                f"Patients are on two sides of the split, {one} and {other}: {', '.join(both)}.",
                where=f"folds.json, fold {name}",
                todo="Make the folds again; a patient has to be on one side.",
            )
    everyone = [patient for side in sides.values() for patient in side]
    if len(set(everyone)) < len(everyone):
        raise NephroscaleError(
            "A patient is named twice on one side of the split.",
            where=f"folds.json, fold {name}",
            todo="Make the folds again.",
        )
    for side in ("train", "validation"):
        if not sides[side]:
            raise NephroscaleError(
                f"No patient is on the {side} side of the split.",
                where=f"folds.json, fold {name}",
                todo="Add patients, or take fewer folds.",
            )
    unknown = [patient for patient in everyone if not 0 <= folds["labels"].get(patient, -1) < len(folds["classes"])]
    if unknown:
        raise NephroscaleError(
            f"Patients of the fold have no class: {', '.join(unknown)}.",
            where=f"folds.json, fold {name}",
            todo="Make the folds again.",
        )
    labels = {patient: int(folds["labels"][patient]) for patient in everyone}
    second = {patient: int(other) for patient, other in folds.get("second", {}).items() if patient in labels}
    lacking = {patient: sorted(names) for patient, names in folds.get("lacking", {}).items() if patient in labels}
    return Fold(
        name, sides["train"], sides["validation"], sides["test"], list(folds["classes"]), labels, second, lacking
    )
