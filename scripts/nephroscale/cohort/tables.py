"""The cohort's tables: patients, images, instruments and readers, read and checked together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from nephroscale.cohort.cohort import Cohort
from nephroscale.cohort.columns import check_columns
from nephroscale.cohort.groups import unite_groups
from nephroscale.cohort.image import Image, Negative
from nephroscale.cohort.images import images_schema, read_images, report_missing_files
from nephroscale.cohort.patient import Patient
from nephroscale.cohort.patients import new_patients_schema, patients_schema, read_new_patients, read_patients
from nephroscale.cohort.readers import read_readings
from nephroscale.cohort.reading import Table, read_table
from nephroscale.cohort.scales import InstrumentScales, read_scales
from nephroscale.cohort.schemas import read_schema
from nephroscale.cohort.settings import DataSettings, FoldsSettings, PredictSettings, TaskSettings
from nephroscale.cohort.split_biopsies import split_biopsies
from nephroscale.cohort.suspect_cells import check_cells_for_accidents
from nephroscale.cohort.tasks import class_names
from nephroscale.cohort.validation_errors import ValidationErrors
from nephroscale.settings import Schema


class _Rows(NamedTuple):
    """Patients, images and negatives of one pair of tables."""

    patients: dict[str, Patient]
    images: list[Image]
    negatives: list[Negative]


def load_cohort(
    data: DataSettings,
    task: TaskSettings,
    folds: FoldsSettings,
    predict: PredictSettings,
    *,
    stains: Sequence[str],
    panel: Sequence[str],
    check_files: bool = True,
) -> Cohort:
    """Read and check the cohort's tables.

    Parameters
    ----------
    data, task, folds, predict
        The sections of the configuration.
    stains
        Stains of OM images that are allowed beside those of the schema (``om.stains``).
    panel
        Markers of IM images that are allowed beside those of the schema (``im.panel``).
    check_files
        Whether to check that the files exist. The main process checks; jobs need not.

    Returns
    -------
    Cohort
        Patients and images in the order of their ids; new patients, who are only predicted, have the use ``new``. A
        patient with several biopsies is one case for each (see :mod:`nephroscale.cohort.split_biopsies`).

    Raises
    ------
    NephroscaleError
        With every error of all tables, each with file, row (the header is row 1) and column.
    """
    errors = ValidationErrors()
    tables = _Tables(
        images_schema(stains, panel), errors, check_files=check_files, encoding=data.encoding, known=task.classes
    )
    patients: dict[str, Patient] | None
    if predict.package is None:
        table = tables.read(data.patients, "patients", patients_schema(task))
        patients = None if table is None else read_patients(table, task, folds, errors)
    if data.instruments is not None:
        tables.read_instruments(data.instruments)
    rows = tables.read_rows(patients, data.images, data.root) if predict.package is None else _Rows({}, [], [])
    if predict.patients is not None and predict.images is not None:
        table = tables.read(predict.patients, "patients", new_patients_schema())
        patients = None if table is None else read_new_patients(table, errors)
        new = tables.read_rows(patients, predict.images, data.root if predict.root is None else predict.root)
        _check_new(rows, new, predict.patients, predict.images, errors)
        rows = _Rows({**rows.patients, **new.patients}, [*rows.images, *new.images], [*rows.negatives, *new.negatives])
    _check_same_as(rows, data.images, errors)
    table = (
        tables.read(data.readers, "readers", read_schema("readers")) if data.readers and not predict.package else None
    )
    readings = () if table is None else read_readings(table, rows.patients.values(), task, errors)
    united = unite_groups(rows.patients, data.patients, errors)
    errors.raise_if_any(fix="Fix the tables; config/README.md explains every column.")
    return Cohort(
        patients=dict(sorted(united.items())),
        images={image.id: image for image in sorted(rows.images, key=lambda image: image.id)},
        classes=class_names(task.classes),
        negatives={negative.id: negative for negative in sorted(rows.negatives, key=lambda negative: negative.id)},
        readings=readings,
        notes=tuple(str(note) for note in errors.notes),
    )


class _Tables:
    """Reads tables of one configuration, collecting every error."""

    def __init__(
        self,
        schema: Schema,
        errors: ValidationErrors,
        *,
        check_files: bool,
        encoding: str | None,
        known: Collection[str],
    ) -> None:
        self.schema, self.errors, self.check_files = schema, errors, check_files
        self.encoding, self.known = encoding, known
        self.scales: InstrumentScales | None = None

    def read(self, path: str, sheet: str, schema: Schema) -> Table | None:
        """Read one table; None where it is unreadable or lacks a required column."""
        table = read_table(path, sheet, schema["required"], self.errors, encoding=self.encoding, known=self.known)
        if table is None or not check_columns(table, schema, self.errors):
            return None
        if not table.rows:
            self.errors.add(path, "has no rows.")
        check_cells_for_accidents(table, schema["properties"], self.errors)
        return table

    def read_instruments(self, path: str) -> None:
        """Read the table of instruments, which gives the scale of images."""
        table = self.read(path, "instruments", read_schema("instruments"))
        self.scales = None if table is None else read_scales(table, self.errors)

    def read_rows(self, patients: dict[str, Patient] | None, path: str, root: str) -> _Rows:
        """Read the images of patients (None where their table is unreadable), and split them by biopsy."""
        table = self.read(path, "images", self.schema)
        images: list[Image] = []
        negatives: list[Negative] = []
        if table is not None:
            known: Collection[str] | None = None if patients is None else patients.keys()
            images, negatives = read_images(
                table, self.schema, root, patients=known, scales=self.scales, errors=self.errors
            )
            if self.check_files:
                report_missing_files(table, root, self.errors)
        return _Rows(*split_biopsies(patients or {}, images, negatives, path, self.errors))


def _check_same_as(rows: _Rows, table: str, errors: ValidationErrors) -> None:
    """Report images that name an unknown image, or themselves, as the one with the same content."""
    known = {image.id for image in rows.images}
    for image in rows.images:
        if image.same_as and image.same_as not in known - {image.id}:
            errors.add(
                table, f"{image.same_as!r}, which {image.id} names, is no other image of the tables.", column="same_as"
            )


def _check_new(rows: _Rows, new: _Rows, patients: str, images: str, errors: ValidationErrors) -> None:
    """Report new patients and images whose ids are in the study: the networks may have been trained on them."""
    taken = {name.casefold() for name in rows.patients}
    taken |= {patient.person.casefold() for patient in rows.patients.values() if patient.person}
    known = {
        patient.person or patient.id
        for patient in new.patients.values()
        if {patient.id.casefold(), (patient.person or patient.id).casefold()} & taken
    }
    for name in sorted(known):
        errors.add(
            patients,
            f"{name} is a patient of the study, and the networks may have been trained on this patient.",
            column="patient_id",
        )
    used = {image.id.casefold() for image in rows.images} | {negative.id.casefold() for negative in rows.negatives}
    added: list[Image | Negative] = [*new.images, *new.negatives]
    for image in added:
        if image.id.casefold() in used:
            errors.add(images, f"{image.id} is an image of the study.", column="image_id")
