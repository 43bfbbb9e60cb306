"""Patients with several biopsies: one case for each biopsy, all on one side of every split.

Two biopsies of a patient may be years apart and show two stages, or be diagnosed by two pathologists: one bag must not
mix their images. All later steps treat a case as a patient, and the patient as a group.
"""

from __future__ import annotations

from dataclasses import replace

from nephroscale.cohort.image import Image, Negative
from nephroscale.cohort.patient import Patient
from nephroscale.cohort.validation_errors import ValidationErrors
from nephroscale.collect import grouped

SPLIT = ("diagnosis", "external", "new")
"""Uses of patients who are predicted; patients of other uses stay one case."""


def split_biopsies(
    patients: dict[str, Patient], images: list[Image], negatives: list[Negative], table: str, errors: ValidationErrors
) -> tuple[dict[str, Patient], list[Image], list[Negative]]:
    """Make one case of each biopsy of patients who have several.

    Parameters
    ----------
    patients, images, negatives
        As the tables have them.
    table
        Name of the table of images, for errors.
    errors
        Collects ids of cases that another patient or biopsy has already.

    Returns
    -------
    tuple
        Patients, images and negatives, with cases ``<patient>-<biopsy>`` in place of those patients. A case keeps the
        patient's label and group; without a group, the patient's cases form one. A patient with one biopsy keeps the
        id.
    """
    pictures: list[Image | Negative] = [*images, *negatives]
    biopsies = grouped((entry.patient_id, entry.biopsy_id) for entry in pictures if entry.biopsy_id)
    several = {
        patient
        for patient, found in biopsies.items()
        if len(set(found)) > 1 and patient in patients and patients[patient].use in SPLIT
    }
    kept = {name: patient for name, patient in patients.items() if name not in several}
    taken = {name.casefold() for name in patients}
    for name in sorted(several):
        patient = patients[name]
        for biopsy in sorted(set(biopsies[name])):
            case = f"{name}-{biopsy}"
            if case.casefold() in taken:
                errors.add(
                    table,
                    f"the biopsy {biopsy!r} of {name} would be called {case}, a name that is already taken.",
                    column="biopsy_id",
                )
            taken.add(case.casefold())
            kept[case] = replace(
                patient, id=case, group=patient.group or f"biopsies of {name}", person=name, biopsy=biopsy
            )

    return (
        kept,
        [replace(i, patient_id=f"{i.patient_id}-{i.biopsy_id}") if i.patient_id in several else i for i in images],
        [replace(n, patient_id=f"{n.patient_id}-{n.biopsy_id}") if n.patient_id in several else n for n in negatives],
    )
