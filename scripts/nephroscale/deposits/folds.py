"""Folds of patients whose TEM images have readings of deposits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from nephroscale.cohort.deposits import ANY, Deposits, parse_deposits
from nephroscale.cohort.fold_table import SIDES, FoldSides, FoldTable, Side
from nephroscale.cohort.folds import make_folds
from nephroscale.cohort.patient import PatientRow
from nephroscale.cohort.settings import FoldsSettings
from nephroscale.cohort.stratified_groups import draw
from nephroscale.errors import NephroscaleError
from nephroscale.json_text import pretty_json
from nephroscale.settings import Settings, section, setting
from nephroscale.store.digest import digest_json

FILE = "folds.json"
CLASSES = ("without deposits", "with deposits", "both kinds of images")


@dataclass(frozen=True)
class DepositPatient:
    """A patient with readings.

    Attributes
    ----------
    id, person, group, site
        As in the table of patients; `person` is None where the patient is one case.
    readings
        Image id to what was read there.
    """

    id: str
    person: str | None
    group: str | None
    site: str | None
    readings: Mapping[str, Deposits]

    @property
    def together(self) -> str:
        """The name of the group, or of the person, that stays on one side."""
        return self.group or self.person or self.id

    def kind(self, site: str) -> int:
        """Index into :data:`CLASSES`: what the patient's images show at a site."""
        shown = {reading.at(site) for reading in self.readings.values()}
        return 2 if {True, False} <= shown else int(True in shown)

    def row(self, site: str) -> PatientRow:
        """Return the row that folds are made from; cases of one person stay together."""
        label = CLASSES[self.kind(site)]
        return PatientRow(self.id, label, group=self.group, site=self.site, text=label, person=self.person)


@dataclass(frozen=True)
class DepositFolds:
    """The folds, with all readings.

    Attributes
    ----------
    folds
        Which patients train, validate and test.
    readings
        Patient to image to reading.
    persons
        Case to person, for persons with several biopsies.
    """

    folds: tuple[FoldSides, ...]
    readings: dict[str, dict[str, Deposits]]
    persons: dict[str, str]

    def labels(self, patients: Sequence[str], site: str) -> dict[str, bool]:
        """Give the label of each image of some patients, without images whose reading does not say."""
        read = (item for patient in patients for item in self.readings[patient].items())
        return {image: label for image, reading in read if (label := reading.at(site)) is not None}

    def side(self, fold: str, side: Side) -> tuple[str, ...]:
        """Return the patients of one side of a fold."""
        return next(f for f in self.folds if f.name == fold).side(side)

    def to_mapping(self) -> dict[str, object]:
        """Return the folds in JSON types."""
        return {
            "folds": [fold.to_mapping() for fold in self.folds],
            "readings": {p: {i: r.to_text() for i, r in images.items()} for p, images in self.readings.items()},
            "persons": self.persons,
        }

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Read the content of ``folds.json``."""
        sides = [
            FoldSides(f["name"], tuple(f["train"]), tuple(f["validation"]), tuple(f["test"]), f.get("site"))
            for f in mapping["folds"]
        ]
        readings = {
            patient: {image: reading for image, text in images.items() if (reading := parse_deposits(text))}
            for patient, images in mapping["readings"].items()
        }
        return cls(tuple(sides), readings, dict(mapping["persons"]))


def read_deposit_folds(folder: Path) -> DepositFolds:
    """Read the folds from the object of the stage `deposit_folds`."""
    return DepositFolds.from_mapping(json.loads((folder / FILE).read_text(encoding="utf-8")))


@dataclass(frozen=True)
class DepositFoldsSettings(Settings):
    """What decides the folds beside the readings."""

    folds: FoldsSettings = section(FoldsSettings)
    site: str = setting("The question whose answers are spread evenly.", ANY)


def write_deposit_folds(
    patients: Sequence[DepositPatient],
    diagnosis: FoldTable | None,
    settings: DepositFoldsSettings,
    seed: int,
    out: Path,
) -> tuple[dict[str, object], dict[str, str]]:
    """Write ``folds.json``.

    Patients of the diagnosis keep their folds of the first division. All others are divided so that images with
    deposits are spread evenly.

    Parameters
    ----------
    patients
        All patients with readings.
    diagnosis
        Folds of the diagnosis; None without a task.
    settings
        Scheme, number of folds, fraction for validation, and the question whose answers are spread evenly.
    seed
        Decides between equally good divisions.
    out
        Folder to make.

    Returns
    -------
    figures
        Numbers of patients and of images, with and without deposits at any site.
    parts
        Digests of ``fold<n>`` for all of a fold and of ``fold<n>.train`` for its training and validation side alone.

    Raises
    ------
    NephroscaleError
        When there are too few patients with or without deposits.
    """
    patients = sorted(patients, key=lambda patient: patient.id)
    sides = _place(patients, diagnosis, settings.site, seed) if diagnosis else _divide(patients, settings, seed)
    people = {p.id: p.person for p in patients if p.person and p.person != p.id}
    table = DepositFolds(tuple(sides), {p.id: dict(p.readings) for p in patients}, people)
    out.mkdir()
    (out / FILE).write_text(pretty_json(table.to_mapping()), encoding="utf-8")
    parts = {}
    for fold in table.folds:
        read = {s: {p: {i: r.to_text() for i, r in table.readings[p].items()} for p in fold.side(s)} for s in SIDES}
        parts[f"fold{fold.name}"] = digest_json([read, people])
        parts[f"fold{fold.name}.train"] = digest_json([read["train"], read["validation"]])
    readings = [reading for patient in patients for reading in patient.readings.values()]
    return {
        "patients": {name: sum(p.kind(ANY) == k for p in patients) for k, name in enumerate(CLASSES)},
        "images": {name: sum(bool(r.at(ANY)) == k for r in readings) for k, name in enumerate(CLASSES[:2])},
    }, parts


def _divide(patients: Sequence[DepositPatient], settings: DepositFoldsSettings, seed: int) -> list[FoldSides]:
    try:
        rows = [patient.row(settings.site) for patient in patients]
        classes = [name for name in CLASSES if any(row.label == name for row in rows)]
        found = make_folds(rows, classes, settings.folds, seed, min_per_class=1, permute_labels=None)
    except NephroscaleError as fault:
        raise NephroscaleError(
            f"Folds cannot be made for deposits. {fault.what}",
            where="column deposits of the table of images, and folds.n_folds",
            fix="Fill the column for more patients, or take fewer folds.",
        ) from fault
    return list(found.folds)


def _place(patients: Sequence[DepositPatient], diagnosis: FoldTable, site: str, seed: int) -> list[FoldSides]:
    """Keep the folds of the diagnosis; test each other patient in the fold of its group, or in the next one in turn."""
    read = {patient.id for patient in patients}
    group_of = diagnosis.groups
    folds = diagnosis.divisions[0]
    number = len(folds)
    further = sorted(
        (p for p in patients if p.id not in diagnosis.labels),
        key=lambda p: (p.kind(site), draw(seed, "folds of deposits", p.together), p.id),
    )
    turns = {name: place % number for place, name in enumerate(dict.fromkeys(p.together for p in further))}
    placed = []
    for index, fold in enumerate(folds):
        side_of_group = {group_of[p]: side for side in SIDES for p in fold.side(side) if p in group_of}
        added: dict[str, list[str]] = {side: [p for p in fold.side(side) if p in read] for side in SIDES}
        for patient in further:
            added[side_of_group.get(patient.together, "test" if turns[patient.together] == index else "train")].append(
                patient.id
            )
        train, validation, test = (tuple(sorted(added[side])) for side in SIDES)
        placed.append(FoldSides(fold.name, train, validation, test, fold.site))
    return placed
