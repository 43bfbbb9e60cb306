"""Rows of the table of images: modality, file and scale of each image."""

from __future__ import annotations

import copy
import posixpath
from collections.abc import Collection, Sequence
from pathlib import Path

from nephroscale.cohort import parse
from nephroscale.cohort.columns import RowErrors, check_cells, check_unique
from nephroscale.cohort.deposits import SITES, parse_deposits
from nephroscale.cohort.files import FolderListings, expand_home, leaves_root, split_page
from nephroscale.cohort.image import Image, Negative
from nephroscale.cohort.reading import Table
from nephroscale.cohort.scales import InstrumentScales, scale_of
from nephroscale.cohort.schemas import read_schema
from nephroscale.cohort.validation_errors import ValidationErrors
from nephroscale.settings import Schema

REQUIRED_COLUMN = {"OM": "stain", "IM": "marker"}
"""The column that images of a modality need."""

FILES = ("path", "annotation", "deposit_outlines")
"""Columns that hold paths."""


def images_schema(stains: Sequence[str], panel: Sequence[str]) -> Schema:
    """Return the schema of images.csv with the stains and markers that the configuration adds."""
    schema = copy.deepcopy(read_schema("images"))
    for column, names in (("stain", stains), ("marker", panel)):
        allowed = schema["properties"][column]["enum"]
        allowed += [name for name in names if name not in allowed]
    return schema


def read_images(
    table: Table,
    schema: Schema,
    root: str,
    *,
    patients: Collection[str] | None,
    scales: InstrumentScales | None,
    errors: ValidationErrors,
) -> tuple[list[Image], list[Negative]]:
    """Turn rows into images and negatives, collecting every error.

    Parameters
    ----------
    table
        The table of images, with all required columns.
    schema
        Its schema (:func:`images_schema`).
    root
        Folder that the paths are relative to.
    patients
        Ids of the patients; None where their table could not be read.
    scales
        The table of instruments; None where the configuration names none.
    errors
        Collects the errors.
    """
    for column in (name for name in FILES if name in table.columns):
        for _, cells in table.rows:
            cells[column] = expand_home(cells[column])
    bad = check_cells(table, schema, ["image_id", "patient_id", "modality"], errors)
    check_unique(table, "image_id", errors)
    modalities = {cells["modality"] for _, cells in table.rows}
    for modality, column in REQUIRED_COLUMN.items():
        if modality in modalities and column not in table.columns:
            errors.add(table.name, f"the column is missing; {modality} images need it.", row=1, column=column)
    folded = {patient_id.casefold(): patient_id for patient_id in patients or ()}
    modalities_of = {
        column: frozenset(described["x-modalities"])
        for column, described in schema["properties"].items()
        if "x-modalities" in described and column in table.columns
    }
    images: list[Image] = []
    negatives: list[Negative] = []
    for row, cells in table.rows:
        row_errors = RowErrors(table.name, row, bad, errors)
        patient_id, modality = cells["patient_id"], cells["modality"]
        if patients is not None and patient_id and patient_id not in patients:
            alike = folded.get(patient_id.casefold())
            hint = f"; did you mean {alike!r}?" if alike else "."
            row_errors.add("patient_id", f"the table of patients has no patient {patient_id!r}{hint}")
        if (row, "modality") not in bad:
            _check_modality(cells, modality, modalities_of, row_errors)
        grade = parse.grade(cells["grade"]) if cells.get("grade") else None
        if cells.get("grade") and grade is None:
            row_errors.add("grade", f"{cells['grade']!r} is not a grade; write 0, ±, 1+, 2+, 3+ or 4+.")
        deposits = parse_deposits(cells["deposits"]) if cells.get("deposits") else None
        if cells.get("deposits") and deposits is None:
            row_errors.add(
                "deposits",
                f"{cells['deposits']!r} is no reading; write 0, 1, or one or several of {';'.join(SITES)}, or leave the"
                " cell empty if nobody read the image (a file of outlines belongs into the column deposit_outlines).",
            )
        if bool(cells.get("same_as")) != bool(cells.get("same_as_reason")):
            empty, given = sorted(("same_as", "same_as_reason"), key=lambda column: bool(cells.get(column)))
            row_errors.add(empty, f"is empty, but {given} is given; fill both or neither.")
        biopsy_id = cells.get("biopsy_id") or None
        path, page = split_page(cells["path"])
        if path:
            images.append(
                Image(
                    id=cells["image_id"],
                    patient_id=patient_id,
                    biopsy_id=biopsy_id,
                    modality=modality,
                    stain=cells.get("stain") or None,
                    marker=cells.get("marker") or None,
                    path=Path(root, path),
                    scale=scale_of(cells, scales, row_errors),
                    roi=cells.get("roi") or None,
                    exposure_ms=parse.number(cells.get("exposure_ms", "")),
                    gain=parse.number(cells.get("gain", "")),
                    grade=grade,
                    annotation=Path(root, cells["annotation"]) if cells.get("annotation") else None,
                    deposits=deposits,
                    deposit_outlines=Path(root, cells["deposit_outlines"]) if cells.get("deposit_outlines") else None,
                    same_as=cells.get("same_as") or None,
                    same_as_reason=cells.get("same_as_reason") or None,
                    page=page,
                    channel=cells.get("channel") or None,
                )
            )
        elif modality == "IM" and grade == 0:
            negatives.append(Negative(cells["image_id"], patient_id, biopsy_id, cells.get("marker", "")))
        else:
            row_errors.add("path", "is empty; only a marker of grade 0 needs no image.")
    _check_biopsies(table, errors)
    _check_paths(table, errors)
    return images, negatives


def _check_modality(
    cells: dict[str, str], modality: str, modalities_of: dict[str, frozenset[str]], errors: RowErrors
) -> None:
    for column, modalities in modalities_of.items():
        if cells[column] and modality not in modalities:
            names = " and ".join(sorted(modalities))
            errors.add(column, f"{cells[column]!r} is given for a {modality} image, but this column is for {names}.")
    required = REQUIRED_COLUMN.get(modality, "")
    if cells.get(required) == "":
        errors.add(required, f"is empty; {modality} images need it.")


def _check_biopsies(table: Table, errors: ValidationErrors) -> None:
    """Report patients with a biopsy for some images and none for others."""
    if "biopsy_id" not in table.columns:
        return
    with_biopsy = {cells["patient_id"] for _, cells in table.rows if cells["biopsy_id"]}
    for row, cells in table.rows:
        if not cells["biopsy_id"] and cells["patient_id"] in with_biopsy:
            errors.add(
                table.name,
                f"is empty, but other images of {cells['patient_id']} have one; fill it for all of them or for none.",
                row=row,
                column="biopsy_id",
            )


def _check_paths(table: Table, errors: ValidationErrors) -> None:
    """Report paths outside data.root, and files that are listed as two images."""
    first: dict[str, int] = {}
    for column in FILES:
        if column not in table.columns:
            continue
        for row, cells in table.rows:
            text = cells[column]
            if not text:
                continue
            if leaves_root(text):
                errors.add(table.name, f"{text!r} leaves data.root; move the file or the root.", row=row, column=column)
            elif column == "path" and (before := first.setdefault(posixpath.normpath(text), row)) != row:
                errors.add(table.name, f"{text!r} is also the file of row {before}.", row=row, column=column)


def report_missing_files(table: Table, root: str, errors: ValidationErrors) -> None:
    """Report every path of the table without a file."""
    if not Path(root).is_dir():
        errors.add(table.name, f"the folder data.root ({root!r}) does not exist.")
        return
    folders = FolderListings()
    for column in FILES:
        if column not in table.columns:
            continue
        for row, cells in table.rows:
            text = split_page(cells[column])[0] if column == "path" else cells[column]
            if text and not folders.has(path := posixpath.join(root, text)):
                errors.add(table.name, folders.why_missing(text, path), row=row, column=column)
