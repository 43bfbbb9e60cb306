"""The table of folds: who is on which side of which split; one place to read, write and check it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from nephroscale.collect import grouped
from nephroscale.errors import NephroscaleError

Side = Literal["train", "validation", "test"]
SIDES: tuple[Side, ...] = ("train", "validation", "test")

FILE = "folds.json"
"""Name of the file in a folder of folds."""


@dataclass(frozen=True, slots=True)
class FoldSides:
    """One fold: the patients of its three sides.

    Parameters
    ----------
    name
        Name of the fold.
    train, validation, test
        Ids of the patients, sorted.
    site
        The held-out site, for folds made by leaving one site out; None for all others.
    """

    name: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    site: str | None = None

    def side(self, side: Side) -> tuple[str, ...]:
        """Return the patients of one side."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[side]

    def patients(self) -> list[str]:
        """List the patients of all sides, one side after the other."""
        return [*self.train, *self.validation, *self.test]

    def to_mapping(self) -> dict[str, object]:
        """Return the fold in JSON types."""
        site = {} if self.site is None else {"site": self.site}
        return {"name": self.name, **{side: list(self.side(side)) for side in SIDES}, **site}


@dataclass(frozen=True, slots=True)
class LabelCount:
    """How many patients have one text in the label column.

    Parameters
    ----------
    text
        The text, as the table has it.
    meaning
        The class, ``exclude`` or ``ambiguous``; for a label between two classes both, with ``task.mixed``; None where
        the configuration gives no meaning.
    patients
        Number of patients with this text.
    in_folds
        Number of their cases that are in the folds.
    """

    text: str
    meaning: str | None
    patients: int
    in_folds: int


@dataclass(frozen=True, slots=True)
class FoldTable:
    """All folds of a cohort, with the labels of the patients.

    Parameters
    ----------
    classes
        Names of the classes, in the order of their indices.
    labels
        Patient to class index (permuted, if the configuration asks for it).
    folds
        The folds, in their order.
    scheme
        ``stratified`` or ``leave_one_site_out``.
    repeats
        Number of divisions; the folds of one division follow each other.
    left_out_sites
        Number of the last folds, of which each tests one site, beside the divisions.
    excluded
        Patient to the reason for being in no fold.
    groups
        Patient to group, for groups of two and more.
    stratified_on
        ``label``, or ``label`` and ``site``.
    permuted
        Seed of the permutation of labels; None for true labels.
    notes
        What the numbers of patients did not allow, in sentences.
    second
        Patient to the second class index of a soft label (weight 0.5).
    mixed
        Patient to the two classes that the label lies between.
    mixed_policy
        ``task.mixed``; None where no configuration was read.
    people
        Case to patient, for patients with several biopsies.
    texts
        Number of patients of each text in the label column.
    lacking
        Patient to the modalities that are missing and the reasons, for patients who take part without them.
    """

    classes: tuple[str, ...]
    labels: dict[str, int]
    folds: tuple[FoldSides, ...]
    scheme: str = "stratified"
    repeats: int = 1
    left_out_sites: int = 0
    excluded: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    stratified_on: tuple[str, ...] = ("label",)
    permuted: int | None = None
    notes: tuple[str, ...] = ()
    second: dict[str, int] = field(default_factory=dict)
    mixed: dict[str, tuple[str, str]] = field(default_factory=dict)
    mixed_policy: str | None = None
    people: dict[str, str] = field(default_factory=dict)
    texts: tuple[LabelCount, ...] = ()
    lacking: dict[str, dict[str, str]] = field(default_factory=dict)

    def fold(self, name: str) -> FoldSides:
        """Return one fold.

        Raises
        ------
        NephroscaleError
            When there is not exactly one fold of this name.
        """
        found = [fold for fold in self.folds if fold.name == name]
        if len(found) != 1:
            raise NephroscaleError(
                f"There are {len(found)} folds named {name!r}.", where=FILE, fix="Make the folds again."
            )
        return found[0]

    @property
    def divisions(self) -> list[tuple[FoldSides, ...]]:
        """The folds of each division; each division tests every patient once."""
        size = (len(self.folds) - self.left_out_sites) // self.repeats
        return [self.folds[start : start + size] for start in range(0, size * self.repeats, size)] if size else []

    @property
    def by_site(self) -> tuple[FoldSides, ...]:
        """The folds that leave a site out, beside the divisions; together they test every patient once."""
        return self.folds[len(self.folds) - self.left_out_sites :]

    def person(self, case: str) -> str:
        """Return the patient of a case."""
        return self.people.get(case, case)

    def to_mapping(self) -> dict[str, object]:
        """Return the table in JSON types."""
        return {
            "classes": list(self.classes),
            "labels": self.labels,
            "excluded": self.excluded,
            "scheme": self.scheme,
            "folds": [fold.to_mapping() for fold in self.folds],
            **({"repeats": self.repeats} if self.repeats > 1 else {}),
            **({"left_out_sites": self.left_out_sites} if self.left_out_sites else {}),
            "groups": self.groups,
            "stratified_on": list(self.stratified_on),
            "permuted": self.permuted,
            "notes": list(self.notes),
            "second": self.second,
            "mixed": self.mixed_to_mapping(),
            "people": self.people,
            "texts": [asdict(count) for count in self.texts],
            "lacking": self.lacking,
        }

    def mixed_to_mapping(self) -> dict[str, object]:
        """Return the labels between two classes, and the policy for them, in JSON types."""
        return {"policy": self.mixed_policy, "patients": {name: list(pair) for name, pair in self.mixed.items()}}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Make a table from the content of ``folds.json``, and check it.

        Raises
        ------
        NephroscaleError
            When the folds are not a split of the patients (see :func:`assert_disjoint`).
        """
        mixed = mapping.get("mixed", {})
        rest = {
            "excluded": mapping.get("excluded", {}),
            "groups": mapping.get("groups", {}),
            "second": mapping.get("second", {}),
            "people": mapping.get("people", {}),
            "lacking": mapping.get("lacking", {}),
        }
        table = cls(
            classes=tuple(mapping["classes"]),
            labels=dict(mapping["labels"]),
            folds=tuple(
                FoldSides(fold["name"], **{side: tuple(fold[side]) for side in SIDES}, site=fold.get("site"))
                for fold in mapping["folds"]
            ),
            scheme=mapping.get("scheme", "stratified"),
            repeats=mapping.get("repeats", 1),
            left_out_sites=mapping.get("left_out_sites", 0),
            stratified_on=tuple(mapping.get("stratified_on", ["label"])),
            permuted=mapping.get("permuted"),
            notes=tuple(mapping.get("notes", ())),
            mixed={name: (pair[0], pair[1]) for name, pair in mixed.get("patients", {}).items()},
            mixed_policy=mixed.get("policy"),
            texts=tuple(LabelCount(**count) for count in mapping.get("texts", ())),
            **rest,
        )
        assert_disjoint(table)
        return table


def read_folds(folder: Path) -> FoldTable:
    """Read ``folds.json`` and check that every patient is on one side of every fold.

    Parameters
    ----------
    folder
        The object of the stage `folds`, or its file ``folds.json``.

    Raises
    ------
    NephroscaleError
        When the folds are not a split of the patients.
    """
    path = folder / FILE if folder.is_dir() else folder
    return FoldTable.from_mapping(json.loads(path.read_text(encoding="utf-8")))


def assert_disjoint(table: FoldTable) -> None:
    """Assert that every patient is on exactly one side of every fold, and tested exactly once in each division.

    Called where folds are made and wherever they are read.

    Raises
    ------
    NephroscaleError
        Naming the fold and the patients that are on two sides or on none, that are tested twice or never, or that are
        apart from their group.
    """
    everyone = set(table.labels)
    for fold in table.folds:
        where = f"fold {fold.name}"
        placed = fold.patients()
        _refuse(_repeated(placed), "are on more than one side", where)
        _refuse(everyone - set(placed), "are on no side", where)
        _refuse(set(placed) - everyone, "are not eligible", where)
        _refuse(_apart(fold, table.groups), "have patients of their group on another side", where)
    for folds in [*(table.divisions or [()]), *([table.by_site] if table.left_out_sites else [])]:
        tested = [name for fold in folds for name in fold.test]
        _refuse(_repeated(tested), "are tested in more than one fold", "all folds")
        _refuse(everyone - set(tested), "are tested in no fold", "all folds")
    _refuse(
        {name for name, label in table.labels.items() if not 0 <= label < len(table.classes)},
        "have no class",
        "all folds",
    )


def _repeated(patients: Iterable[str]) -> set[str]:
    return {patient for patient, count in Counter(patients).items() if count > 1}


def _apart(fold: FoldSides, groups: Mapping[str, str]) -> set[str]:
    side_of = {patient: side for side in SIDES for patient in fold.side(side)}
    sides = grouped((group, side_of[patient]) for patient, group in groups.items() if patient in side_of)
    return {patient for patient, group in groups.items() if len(set(sides.get(group, ()))) > 1}


def _refuse(patients: set[str], what: str, where: str) -> None:
    if patients:
        raise NephroscaleError(
            f"The folds are not a split of the patients: {', '.join(sorted(patients))} {what}.",
            where=where,
            fix="Make the folds again; do not edit folds.json.",
        )
