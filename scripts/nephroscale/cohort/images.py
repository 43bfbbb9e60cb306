"""Rows of the table of images: what each shows, where it is, and at which scale."""

from __future__ import annotations

import copy
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nephroscale.cohort import parse
from nephroscale.cohort.columns import Notes, check_cells, check_unique
from nephroscale.cohort.files import Folders, leaves_root
from nephroscale.cohort.members import Image, Negative
from nephroscale.cohort.scales import scale_of
from nephroscale.cohort.schemas import read_schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nephroscale.cohort.reading import Table
    from nephroscale.cohort.scales import Scales
    from nephroscale.cohort.validation_errors import ValidationErrors

NEEDED = {"OM": "stain", "IM": "marker"}
"""What an image of a modality has to have."""

FILES = ("path", "annotation", "deposits")
"""Columns that hold paths."""


def images_schema(config: dict[str, Any]) -> dict[str, Any]:
    """Give the schema of images.csv with the stains and markers that the configuration adds."""
    schema = copy.deepcopy(read_schema("images"))
    for column, names in (("stain", config["om"]["stains"]), ("marker", config["im"]["panel"])):
        allowed = schema["properties"][column]["enum"]
        allowed += [name for name in names if name not in allowed]
    return schema


def read_images(
    table: Table,
    config: dict[str, Any],
    patients: Iterable[str] | None,
    scales: Scales | None,
    faults: ValidationErrors,
) -> tuple[list[Image], list[Negative]]:
    """Turn rows into images and negatives, noting every fault.

    Parameters
    ----------
    table
        The table of images, with all columns that are needed.
    config
        The configuration.
    patients
        Ids of the patients; None where their table could not be read.
    scales
        The table of instruments; None where there is none.
    faults
        Takes the faults.
    """
    schema = images_schema(config)
    bad = check_cells(table, schema, ["image_id", "patient_id", "modality"], faults)
    check_unique(table, "image_id", faults)
    modalities = {cells["modality"] for _, cells in table.rows}
    for modality, column in NEEDED.items():
        if modality in modalities and column not in table.columns:
            faults.add(table.name, f"the column is missing; {modality} images need it.", row=1, column=column)
    known = None if patients is None else set(patients)
    folded = {patient_id.casefold(): patient_id for patient_id in known or ()}
    belongs = {
        column: frozenset(stated["x-modalities"])
        for column, stated in schema["properties"].items()
        if "x-modalities" in stated and column in table.columns
    }
    root = config["data"]["root"]
    images: list[Image] = []
    negatives: list[Negative] = []
    for row, cells in table.rows:
        note = Notes(table.name, row, bad, faults)
        patient_id, modality = cells["patient_id"], cells["modality"]
        if known is not None and patient_id and patient_id not in known:
            alike = folded.get(patient_id.casefold())
            hint = f"; did you mean {alike!r}?" if alike else "."
            note("patient_id", f"there is no patient {patient_id!r} in the table of patients{hint}")
        if (row, "modality") not in bad:
            _check_modality(cells, modality, belongs, note)
        grade = parse.grade(cells["grade"]) if cells.get("grade") else None
        if cells.get("grade") and grade is None:
            note("grade", f"{cells['grade']!r} is no grade; write 0, ±, 1+, 2+, 3+ or 4+.")
        if not cells["path"]:
            if modality == "IM" and grade == 0:
                negatives.append(
                    Negative(cells["image_id"], patient_id, cells.get("biopsy_id") or None, cells.get("marker", ""))
                )
            else:
                note("path", "is empty; only a marker of grade 0 may have been left without a picture.")
            continue
        images.append(
            Image(
                id=cells["image_id"],
                patient_id=patient_id,
                biopsy_id=cells.get("biopsy_id") or None,
                modality=modality,
                stain=cells.get("stain") or None,
                marker=cells.get("marker") or None,
                path=Path(root, cells["path"]),
                scale=scale_of(cells, scales, note),
                roi=cells.get("roi") or None,
                exposure_ms=parse.number(cells.get("exposure_ms", "")),
                gain=parse.number(cells.get("gain", "")),
                grade=grade,
                annotation=Path(root, cells["annotation"]) if cells.get("annotation") else None,
                deposits=Path(root, cells["deposits"]) if cells.get("deposits") else None,
            )
        )
    _check_biopsies(table, faults)
    _check_paths(table, faults)
    return images, negatives


def _check_modality(cells: dict[str, str], modality: str, belongs: dict[str, frozenset[str]], note: Notes) -> None:
    for column, modalities in belongs.items():
        if cells[column] and modality not in modalities:
            whose = " and ".join(sorted(modalities))
            note(column, f"{cells[column]!r} is given for a {modality} image, but this column belongs to {whose}.")
    needed = NEEDED.get(modality, "")
    if cells.get(needed) == "":
        note(needed, f"is empty; {modality} images need it.")


def _check_biopsies(table: Table, faults: ValidationErrors) -> None:
    """Note patients of whom some images belong to a biopsy and others to none."""
    if "biopsy_id" not in table.columns:
        return
    some = {cells["patient_id"] for _, cells in table.rows if cells["biopsy_id"]}
    for row, cells in table.rows:
        if not cells["biopsy_id"] and cells["patient_id"] in some:
            what = f"is empty, but other images of {cells['patient_id']} have one; give it for all of them or for none."
            faults.add(table.name, what, row=row, column="biopsy_id")


def _check_paths(table: Table, faults: ValidationErrors) -> None:
    """Note paths that leave data.root, and files that serve as two images."""
    first: dict[str, int] = {}
    for column in FILES:
        if column not in table.columns:
            continue
        for row, cells in table.rows:
            text = cells[column]
            if not text:
                continue
            if leaves_root(text):
                faults.add(table.name, f"{text!r} leaves data.root; move the file or the root.", row=row, column=column)
            elif column == "path" and (before := first.setdefault(posixpath.normpath(text), row)) != row:
                faults.add(table.name, f"{text!r} is the file of row {before} already.", row=row, column=column)


def report_missing_files(table: Table, root: str, faults: ValidationErrors) -> None:
    """Note every path of the table at which there is nothing."""
    if not Path(root).is_dir():
        faults.add(table.name, f"data.root is {root!r}, and there is no such folder.")
        return
    folders = Folders()
    for column in FILES:
        if column not in table.columns:
            continue
        for row, cells in table.rows:
            text = cells[column]
            if text and not folders.has(path := posixpath.join(root, text)):
                faults.add(table.name, folders.why_missing(text, path), row=row, column=column)
