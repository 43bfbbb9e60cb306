"""The cohort's tables: patients, images, instruments, and what they mean together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nephroscale.cohort.columns import check_columns
from nephroscale.cohort.config import class_names
from nephroscale.cohort.faults import Faults
from nephroscale.cohort.images import images_schema, read_images, report_missing_files
from nephroscale.cohort.members import Cohort, Image, Negative, Patient
from nephroscale.cohort.patients import patients_schema, read_patients
from nephroscale.cohort.reading import read_table
from nephroscale.cohort.scales import read_scales
from nephroscale.cohort.schemas import read_schema

if TYPE_CHECKING:
    from nephroscale.cohort.reading import Table
    from nephroscale.cohort.scales import Scales

__all__ = ["Cohort", "Image", "Negative", "Patient", "load_cohort"]


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
    people = _read(data["patients"], "patients", patients_schema(config["task"]["label"]), faults)
    if people is not None:
        patients = read_patients(people, config, faults)
    scales: Scales | None = None
    if data["instruments"] is not None:
        instruments = _read(data["instruments"], "instruments", read_schema("instruments"), faults)
        scales = None if instruments is None else read_scales(instruments, faults)
    images: list[Image] = []
    negatives: list[Negative] = []
    pictures = _read(data["images"], "images", images_schema(config), faults)
    if pictures is not None:
        known = None if people is None else patients.keys()
        images, negatives = read_images(pictures, config, known, scales, faults)
        if check_files:
            report_missing_files(pictures, data["root"], faults)
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
