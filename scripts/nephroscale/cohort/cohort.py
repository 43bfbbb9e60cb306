"""The cohort: patients, their images, and markers that were negative and not photographed."""

from __future__ import annotations

from dataclasses import dataclass, field

from nephroscale.cohort.image import Image, Negative
from nephroscale.cohort.patient import Patient
from nephroscale.cohort.readers import Reading
from nephroscale.collect import grouped


@dataclass(frozen=True, slots=True)
class Cohort:
    """All patients and images of the tables by id, in the order of ids, whatever the order of the rows.

    Parameters
    ----------
    patients
        All patients, of every use.
    images
        All images that have a file.
    classes
        Names of the classes in their order.
    negatives
        Markers found negative and not photographed, by image id.
    readings
        Diagnoses by single readers.
    notes
        What was assumed in reading the tables, a line each.
    """

    patients: dict[str, Patient]
    images: dict[str, Image]
    classes: tuple[str, ...]
    negatives: dict[str, Negative] = field(default_factory=dict)
    readings: tuple[Reading, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False, repr=False)
    _images_of: dict[tuple[str, str | None], list[Image]] = field(init=False, repr=False, compare=False)
    _negatives_of: dict[str, list[Negative]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        kinds = (
            ((image.patient_id, modality), image)
            for _, image in sorted(self.images.items())
            for modality in (None, image.modality)
        )
        negatives = (negative for _, negative in sorted(self.negatives.items()))
        object.__setattr__(self, "_images_of", grouped(kinds))
        object.__setattr__(self, "_negatives_of", grouped((each.patient_id, each) for each in negatives))

    def images_of(self, patient_id: str, modality: str | None = None) -> list[Image]:
        """List a patient's images of one modality, or of all, by image id; empty where there are none."""
        return list(self._images_of.get((patient_id, modality), ()))

    def negatives_of(self, patient_id: str) -> list[Negative]:
        """List the markers of a patient that were negative and not photographed, by image id."""
        return list(self._negatives_of.get(patient_id, ()))
