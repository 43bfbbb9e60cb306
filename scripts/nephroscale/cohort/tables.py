"""The cohort's tables: patients, images, instruments, and what they mean together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nephroscale.cohort.columns import check_columns
from nephroscale.cohort.config import class_names
from nephroscale.cohort.images import images_schema, read_images, report_missing_files
from nephroscale.cohort.members import Cohort, Image, Negative, Patient
from nephroscale.cohort.patients import new_patients_schema, patients_schema, read_new_patients, read_patients
from nephroscale.cohort.reading import read_table
from nephroscale.cohort.scales import read_scales
from nephroscale.cohort.schemas import read_schema
from nephroscale.cohort.split_biopsies import split_biopsies
from nephroscale.cohort.validation_errors import ValidationErrors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nephroscale.cohort.reading import Table
    from nephroscale.cohort.scales import Scales

__all__ = ["Cohort", "Image", "Negative", "Patient", "load_cohort"]


def load_cohort(config: dict[str, Any], check_files: bool = True) -> Cohort:
    """Read and check the cohort's tables.

    Parameters
    ----------
    config
        As :func:`nephroscale.cohort.config.load_config` gives it; ``data``, ``predict``, ``task``, ``om.stains``,
        ``im.panel`` and ``folds`` are read.
    check_files
        Whether to look if the files are there. The main process does; jobs need not.

    Returns
    -------
    Cohort
        Patients and images in the order of their ids; new patients, who are only predicted, have the use ``new``. Of a
        patient with several biopsies there is one case for each (see :mod:`nephroscale.cohort.split_biopsies`).

    Raises
    ------
    NephroscaleError
        Naming every fault of all tables, each with file, row (the header is row 1) and column.
    """
    faults = ValidationErrors()
    data = config["data"]
    patients: dict[str, Patient] = {}
    people = _read(data["patients"], "patients", patients_schema(config["task"]["label"]), faults)
    if people is not None:
        patients = read_patients(people, config, faults)
    scales: Scales | None = None
    if data["instruments"] is not None:
        instruments = _read(data["instruments"], "instruments", read_schema("instruments"), faults)
        scales = None if instruments is None else read_scales(instruments, faults)
    known = None if people is None else patients.keys()
    images, negatives = _read_pictures(
        config, data["images"], data["root"], scales, faults, known=known, check_files=check_files
    )
    patients, images, negatives = split_biopsies(patients, images, negatives, data["images"], faults)
    if config["predict"]["patients"] is not None:
        added = _read_new(config, scales, faults, check_files=check_files)
        _check_apart(patients, [*images, *negatives], added, config["predict"], faults)
        patients, images, negatives = {**patients, **added[0]}, [*images, *added[1]], [*negatives, *added[2]]
    faults.raise_if_any(todo="Mend the tables; config/README.md explains every column.")
    return Cohort(
        patients=dict(sorted(patients.items())),
        images={image.id: image for image in sorted(images, key=lambda image: image.id)},
        classes=class_names(config["task"]),
        negatives={negative.id: negative for negative in sorted(negatives, key=lambda negative: negative.id)},
    )


def _read_pictures(
    config: dict[str, Any],
    path: str,
    root: str,
    scales: Scales | None,
    faults: ValidationErrors,
    *,
    known: Iterable[str] | None,
    check_files: bool,
) -> tuple[list[Image], list[Negative]]:
    """Read one table of images."""
    pictures = _read(path, "images", images_schema(config), faults)
    if pictures is None:
        return [], []
    rooted = {**config, "data": {**config["data"], "root": root}}
    images, negatives = read_images(pictures, rooted, known, scales, faults)
    if check_files:
        report_missing_files(pictures, root, faults)
    return images, negatives


def _read_new(
    config: dict[str, Any], scales: Scales | None, faults: ValidationErrors, *, check_files: bool
) -> tuple[dict[str, Patient], list[Image], list[Negative]]:
    """Read the tables of new patients, who are predicted and nothing else."""
    new = config["predict"]
    people = _read(new["patients"], "patients", new_patients_schema(), faults)
    patients = {} if people is None else read_new_patients(people, faults)
    known = None if people is None else patients.keys()
    root = config["data"]["root"] if new["root"] is None else new["root"]
    images, negatives = _read_pictures(
        config, new["images"], root, scales, faults, known=known, check_files=check_files
    )
    return split_biopsies(patients, images, negatives, new["images"], faults)


def _check_apart(
    patients: dict[str, Patient],
    pictures: list[Image | Negative],
    added: tuple[dict[str, Patient], list[Image], list[Negative]],
    tables: dict[str, Any],
    faults: ValidationErrors,
) -> None:
    """Note new patients and images whose ids are in the study already: they may have been trained on."""
    taken = {name.casefold() for name in patients} | {(p.person or p.id).casefold() for p in patients.values()}
    for patient in sorted(
        {p.person or p.id for p in added[0].values() if {p.id.casefold(), (p.person or p.id).casefold()} & taken}
    ):
        what = f"{patient} is a patient of the study already, whom the networks may have been trained on."
        faults.add(tables["patients"], what, column="patient_id")
    used = {picture.id.casefold() for picture in pictures}
    pictures_added: list[Image | Negative] = [*added[1], *added[2]]
    for picture in pictures_added:
        if picture.id.casefold() in used:
            faults.add(tables["images"], f"{picture.id} is an image of the study already.", column="image_id")


def _read(path: str, sheet: str, schema: dict[str, Any], faults: ValidationErrors) -> Table | None:
    table = read_table(path, sheet, schema["required"], faults)
    if table is None or not check_columns(table, schema, faults):
        return None
    if not table.rows:
        faults.add(path, "has no rows.")
    return table
