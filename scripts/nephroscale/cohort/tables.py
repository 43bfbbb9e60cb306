"""The cohort's tables: patients, images, instruments, and what they mean together."""

from __future__ import annotations

import copy
import posixpath
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nephroscale.cohort import notation
from nephroscale.cohort.columns import Bad, check_cells, check_columns, check_unique
from nephroscale.cohort.config import class_names
from nephroscale.cohort.faults import Faults
from nephroscale.cohort.files import Folders, leaves_root
from nephroscale.cohort.members import Cohort, Image, Negative, Patient
from nephroscale.cohort.reading import Table, read_table
from nephroscale.cohort.schemas import read_schema

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Cohort", "Image", "Negative", "Patient", "load_cohort"]

Scales = dict[tuple[str, float], float]
"""nm per pixel by instrument (case-folded) and magnification."""

TWICE = 0.05
"""A scale given in two ways may differ by this share."""


def load_cohort(config: dict[str, Any], check_files: bool = True) -> Cohort:
    """Read and check the cohort's tables.

    Parameters
    ----------
    config
        As :func:`nephroscale.cohort.config.load_config` gives it; ``data``, ``task``, ``om.stains``, ``im.panel`` and
        ``folds`` are read.
    check_files
        Whether to look if the files are there. The main process does; jobs need not.

    Returns
    -------
    Cohort
        Patients and images in the order of their ids.

    Raises
    ------
    NephroscaleError
        Naming every fault of all tables, each with file, row (the header is row 1) and column.
    """
    faults = Faults()
    data = config["data"]
    patients: dict[str, Patient] = {}
    people = _read(data["patients"], "patients", _patients_schema(config["task"]["label"]), faults)
    if people is not None:
        patients = _patients(people, config, faults)
    scales: Scales | None = None
    if data["instruments"] is not None:
        instruments = _read(data["instruments"], "instruments", read_schema("instruments"), faults)
        scales = None if instruments is None else _scales(instruments, faults)
    images: list[Image] = []
    negatives: list[Negative] = []
    pictures = _read(data["images"], "images", _images_schema(config), faults)
    if pictures is not None:
        known = None if people is None else patients.keys()
        images, negatives = _images(pictures, config, known, scales, faults)
        if check_files:
            _check_files(pictures, data["root"], faults)
    faults.raise_if_any(todo="Mend the tables; config/README.md explains every column.")
    return Cohort(
        patients=dict(sorted(patients.items())),
        images={image.id: image for image in sorted(images, key=lambda image: image.id)},
        classes=class_names(config["task"]),
        negatives={negative.id: negative for negative in sorted(negatives, key=lambda negative: negative.id)},
    )


def _read(path: str, sheet: str, schema: dict[str, Any], faults: Faults) -> Table | None:
    table = read_table(path, sheet, schema["required"], faults)
    if table is None or not check_columns(table, schema, faults):
        return None
    if not table.rows:
        faults.add(path, "has no rows.")
    return table


def _patients_schema(label: str) -> dict[str, Any]:
    """Give the schema of patients.csv with the label column under the name that the task gives it."""
    schema = copy.deepcopy(read_schema("patients"))
    described = schema["properties"].pop("diagnosis")
    schema["properties"].setdefault(label, described)
    schema["required"] = ["patient_id", label]
    return schema


def _images_schema(config: dict[str, Any]) -> dict[str, Any]:
    """Give the schema of images.csv with the stains and markers that the configuration adds."""
    schema = copy.deepcopy(read_schema("images"))
    for column, names in (("stain", config["om"]["stains"]), ("marker", config["im"]["panel"])):
        allowed = schema["properties"][column]["enum"]
        allowed += [name for name in names if name not in allowed]
    return schema


def _patients(table: Table, config: dict[str, Any], faults: Faults) -> dict[str, Patient]:
    task = config["task"]
    schema = _patients_schema(task["label"])
    bad = check_cells(table, schema, ["patient_id"], faults)
    check_unique(table, "patient_id", faults)
    free = [column for column in table.columns if column not in schema["properties"]]
    unmapped: dict[str, list[int]] = {}
    patients: dict[str, Patient] = {}
    for row, cells in table.rows:
        text, use, reason = cells[task["label"]], cells.get("use") or "diagnosis", cells.get("reason") or None
        meaning = task["classes"].get(text)
        if use in {"diagnosis", "external"}:
            if not text:
                faults.add(table.name, f"is empty; the use {use!r} needs a label.", row=row, column=task["label"])
            elif meaning is None:
                unmapped.setdefault(text, []).append(row)
        if use == "exclude" and not reason:
            faults.add(table.name, "is empty; the use 'exclude' needs a reason.", row=row, column="reason")
        status, why = _status(use, meaning, text, reason)
        patients[cells["patient_id"]] = Patient(
            id=cells["patient_id"],
            label_text=text,
            label=meaning if meaning in class_names(task) else None,
            status=status,
            use=use,
            reason=why,
            group=cells.get("group") or None,
            site=cells.get("site") or None,
            scanner=cells.get("scanner") or None,
            columns={column: cells[column] for column in free},
        )
    if unmapped:
        counts = ", ".join(f"{text!r} ({len(rows)})" for text, rows in sorted(unmapped.items()))
        what = f"task.classes does not say what these texts mean: {counts}; map each to a class, exclude or ambiguous."
        faults.add(table.name, what, row=min(min(rows) for rows in unmapped.values()), column=task["label"])
    elif not bad:
        _check_counts(table, patients.values(), config, faults)
    return patients


def _status(use: str, meaning: str | None, text: str, reason: str | None) -> tuple[str, str | None]:
    if use == "segmentation":
        return use, reason or "set apart for segmentation"
    if use == "exclude":
        return use, reason
    if meaning in {"exclude", "ambiguous"}:
        word = "is excluded" if meaning == "exclude" else "is ambiguous"
        return str(meaning), reason or f"the label {text!r} {word} (task.classes)"
    return "eligible", None


def _check_counts(table: Table, patients: Iterable[Patient], config: dict[str, Any], faults: Faults) -> None:
    """Note what no choice of folds can mend."""
    task, folds = config["task"], config["folds"]
    eligible = [patient for patient in patients if patient.status == "eligible" and patient.use == "diagnosis"]
    counts = Counter(patient.label for patient in eligible)
    few = [f"{name} {counts[name]}" for name in class_names(task) if counts[name] < task["minimum_per_class"]]
    if few:
        what = f"too few eligible patients ({', '.join(few)}); task.minimum_per_class is {task['minimum_per_class']}."
        faults.add(table.name, what, column=task["label"])
    if len(eligible) < folds["count"]:
        faults.add(table.name, f"{len(eligible)} eligible patients cannot make {folds['count']} folds (folds.count).")
    if folds["scheme"] == "leave_one_site_out":
        nowhere = [patient.id for patient in eligible if not patient.site]
        sites = sorted({patient.site for patient in eligible if patient.site})
        if nowhere:
            what = (
                f"is empty for {', '.join(nowhere)}; folds.scheme leave_one_site_out needs it of all who are eligible."
            )
            faults.add(table.name, what, column="site")
        elif len(sites) != folds["count"]:
            what = f"there are {len(sites)} sites ({', '.join(sites)}), but folds.count is {folds['count']}; make them agree."
            faults.add(table.name, what, column="site")


def _scales(table: Table, faults: Faults) -> Scales:
    bad = check_cells(table, read_schema("instruments"), list(table.columns), faults)
    scales: Scales = {}
    for row, cells in table.rows:
        magnification = notation.magnification(cells["magnification"])
        if magnification is None:
            if cells["magnification"]:
                what = f"{cells['magnification']!r} is no magnification; write 8000 or 11,500x."
                faults.add(table.name, what, row=row, column="magnification")
            continue
        value = notation.number(cells["nm_per_px"])
        if value is None or (row, "nm_per_px") in bad:
            continue
        key = (cells["instrument"].casefold(), magnification)
        if key in scales:
            what = f"{cells['instrument']!r} at {magnification:g}x is there already; keep one."
            faults.add(table.name, what, row=row, column="magnification")
        scales[key] = value
    return scales


def _images(
    table: Table, config: dict[str, Any], patients: Iterable[str] | None, scales: Scales | None, faults: Faults
) -> tuple[list[Image], list[Negative]]:
    schema = _images_schema(config)
    bad = check_cells(table, schema, ["image_id", "patient_id", "modality"], faults)
    check_unique(table, "image_id", faults)
    known = None if patients is None else {patient_id.casefold(): patient_id for patient_id in patients}
    belongs = {
        column: frozenset(stated["x-modalities"])
        for column, stated in schema["properties"].items()
        if "x-modalities" in stated and column in table.columns
    }
    root = config["data"]["root"]
    images: list[Image] = []
    negatives: list[Negative] = []
    for row, cells in table.rows:
        note = _Notes(table.name, row, bad, faults)
        patient_id, modality = cells["patient_id"], cells["modality"]
        if known is not None and patient_id and (alike := known.get(patient_id.casefold())) != patient_id:
            hint = f"; did you mean {alike!r}?" if alike else "."
            note("patient_id", f"there is no patient {patient_id!r} in the table of patients{hint}")
        if (row, "modality") not in bad:
            _check_modality(cells, modality, belongs, note)
        grade = notation.grade(cells["grade"]) if cells.get("grade") else None
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
                scale=_scale(cells, scales, note),
                roi=cells.get("roi") or None,
                exposure_ms=notation.number(cells.get("exposure_ms", "")),
                gain=notation.number(cells.get("gain", "")),
                grade=grade,
                annotation=Path(root, cells["annotation"]) if cells.get("annotation") else None,
                deposits=Path(root, cells["deposits"]) if cells.get("deposits") else None,
            )
        )
    _check_biopsies(table, faults)
    _check_paths(table, faults)
    return images, negatives


class _Notes:
    """Notes faults of one row, and none of a cell that is known to be bad already."""

    __slots__ = ("bad", "faults", "row", "table")

    def __init__(self, table: str, row: int, bad: Bad, faults: Faults) -> None:
        self.table, self.row, self.bad, self.faults = table, row, bad, faults

    def __call__(self, column: str, what: str) -> None:
        if (self.row, column) not in self.bad:
            self.faults.add(self.table, what, row=self.row, column=column)


def _check_modality(cells: dict[str, str], modality: str, belongs: dict[str, frozenset[str]], note: _Notes) -> None:
    for column, modalities in belongs.items():
        if cells[column] and modality not in modalities:
            whose = " and ".join(sorted(modalities))
            note(column, f"{cells[column]!r} is given for a {modality} image, but this column belongs to {whose}.")
    if modality == "OM" and not cells.get("stain"):
        note("stain", "is empty; an OM slide needs its stain.")
    if modality == "IM" and not cells.get("marker"):
        note("marker", "is empty; an IM image needs its marker.")


def _scale(cells: dict[str, str], scales: Scales | None, note: _Notes) -> dict[str, Any] | None:
    """Take the scale from the row, or look it up by instrument and magnification."""
    if (value := notation.number(cells.get("mpp", ""))) is not None:
        return {"value": value, "unit": "um", "source": "table"}
    stated = notation.number(cells.get("nm_per_px", ""))
    looked_up = _look_up(cells, scales, note, needed=stated is None)
    if stated is not None:
        if looked_up is not None and abs(stated - looked_up) > TWICE * looked_up:
            note(
                "nm_per_px",
                f"{stated:g} differs from the {looked_up:g} of the table of instruments; mend one or the other.",
            )
        return {"value": stated, "unit": "nm", "source": "table"}
    return None if looked_up is None else {"value": looked_up, "unit": "nm", "source": "instrument"}


def _look_up(cells: dict[str, str], scales: Scales | None, note: _Notes, needed: bool) -> float | None:
    instrument, text = cells.get("instrument", ""), cells.get("magnification", "")
    if not instrument and not text:
        return None
    magnification = notation.magnification(text) if text else None
    if text and magnification is None:
        note("magnification", f"{text!r} is no magnification; write 8000 or 11,500x.")
        return None
    if (
        scales is not None
        and magnification is not None
        and (found := scales.get((instrument.casefold(), magnification)))
    ):
        return found
    if needed:
        if not text:
            note("magnification", "is empty; with an instrument it gives the scale.")
        elif not instrument:
            note("instrument", "is empty; a magnification means nothing without the instrument.")
        elif scales is None:
            note("instrument", "is given, but data.instruments names no (readable) table to look it up in.")
        else:
            note("magnification", f"the table of instruments has no {instrument!r} at {magnification:g}x.")
    return None


def _check_biopsies(table: Table, faults: Faults) -> None:
    """Note patients of whom some images belong to a biopsy and others to none."""
    if "biopsy_id" not in table.columns:
        return
    some = {cells["patient_id"] for _, cells in table.rows if cells["biopsy_id"]}
    for row, cells in table.rows:
        if not cells["biopsy_id"] and cells["patient_id"] in some:
            what = f"is empty, but other images of {cells['patient_id']} have one; give it for all of them or for none."
            faults.add(table.name, what, row=row, column="biopsy_id")


def _check_paths(table: Table, faults: Faults) -> None:
    """Note paths that leave data.root, and files that serve as two images."""
    first: dict[str, int] = {}
    for column in ("path", "annotation", "deposits"):
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


def _check_files(table: Table, root: str, faults: Faults) -> None:
    if not Path(root).is_dir():
        faults.add(table.name, f"data.root is {root!r}, and there is no such folder.")
        return
    folders = Folders()
    for column in ("path", "annotation", "deposits"):
        if column not in table.columns:
            continue
        for row, cells in table.rows:
            text = cells[column]
            if text and not folders.has(path := posixpath.join(root, text)):
                faults.add(table.name, folders.why_missing(text, path), row=row, column=column)
