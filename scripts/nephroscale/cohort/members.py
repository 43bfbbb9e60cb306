"""What a cohort consists of: patients, their images, and markers that were found negative and not photographed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Patient:
    """One row of the table of patients.

    Parameters
    ----------
    id
        Unique without regard to case.
    label_text
        The label as the records have it; empty where there is none.
    label
        The class it means; None for `exclude`, `ambiguous`, and where there is no label.
    status
        ``eligible`` (has a class, and a use for which one is needed), ``exclude``, ``ambiguous``, ``segmentation`` or
        ``new``.
    use
        As in the table: ``diagnosis``, ``segmentation``, ``external`` or ``exclude``; ``new`` for patients of the table
        `predict.patients`, who have no label.
    reason
        Why the patient is not eligible; None for eligible ones.
    group, site, scanner
        None where the table does not say.
    columns
        The free columns.
    mixed
        The two neighbouring classes that the label lies between; None for a label that is one class.
    second
        The class that a patient is by half, beside `label` (`task.mixed: soft`); None for all others.
    person, biopsy
        The patient and the biopsy of a case, where a patient with several biopsies is one case for each (see
        :mod:`nephroscale.cohort.split_biopsies`); None for patients who are one case.
    """

    id: str
    label_text: str
    label: str | None
    status: str
    use: str
    reason: str | None
    group: str | None
    site: str | None
    scanner: str | None
    columns: dict[str, str]
    mixed: tuple[str, str] | None = None
    second: str | None = None
    person: str | None = None
    biopsy: str | None = None

    def row(self) -> dict[str, Any]:
        """Give what decides the patient's place in the folds (see :func:`nephroscale.cohort.folds.make_folds`)."""
        row = {
            "id": self.id,
            "label": self.label,
            "group": self.group,
            "site": self.site,
            "text": self.label_text,
            "eligible": self.status == "eligible" and self.use == "diagnosis",
            "reason": self.reason,
        }
        between = {"mixed": list(self.mixed), "second": self.second} if self.mixed else {}
        case = {"person": self.person} if self.person else {}
        return {**row, **between, **case}


@dataclass(frozen=True, slots=True)
class Image:
    """One row of the table of images.

    Parameters
    ----------
    path, annotation, deposits
        Files, resolved against ``data.root``.
    scale
        ``{"value": µm per px (OM, IM) or nm per px (TEM), "unit": "um" | "nm", "source": "table" | "instrument"}``;
        None where the table gives none.
    roi
        ``whole`` where one glomerulus fills the field.
    exposure_ms
        None where unknown or automatic.
    grade
        0 to 4.
    """

    id: str
    patient_id: str
    biopsy_id: str | None
    modality: str
    stain: str | None
    marker: str | None
    path: Path
    scale: dict[str, Any] | None
    roi: str | None
    exposure_ms: float | None
    gain: float | None
    grade: float | None
    annotation: Path | None
    deposits: Path | None

    def row(self) -> dict[str, Any]:
        """Give the row as JSON for a recipe: no paths, only whether there are an annotation and deposits."""
        return {
            "id": self.id,
            "patient_id": self.patient_id,
            "biopsy_id": self.biopsy_id,
            "modality": self.modality,
            "stain": self.stain,
            "marker": self.marker,
            "scale": self.scale,
            "roi": self.roi,
            "exposure_ms": self.exposure_ms,
            "gain": self.gain,
            "grade": self.grade,
            "annotation": self.annotation is not None,
            "deposits": self.deposits is not None,
        }


@dataclass(frozen=True, slots=True)
class Negative:
    """A marker that was found negative (grade 0) and therefore not photographed: not the same as a missing image."""

    id: str
    patient_id: str
    biopsy_id: str | None
    marker: str

    def row(self) -> dict[str, Any]:
        """Give the row as JSON for a recipe."""
        return {"id": self.id, "patient_id": self.patient_id, "biopsy_id": self.biopsy_id, "marker": self.marker}


@dataclass(frozen=True, slots=True)
class Cohort:
    """Everybody and everything in the tables, by id and in the order of ids, whatever the order of the rows.

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
    """

    patients: dict[str, Patient]
    images: dict[str, Image]
    classes: tuple[str, ...]
    negatives: dict[str, Negative] = field(default_factory=dict)
    _images_of: dict[tuple[str, str | None], list[Image]] = field(init=False, repr=False, compare=False)
    _negatives_of: dict[str, list[Negative]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        images: dict[tuple[str, str | None], list[Image]] = {}
        for _, image in sorted(self.images.items()):
            images.setdefault((image.patient_id, None), []).append(image)
            images.setdefault((image.patient_id, image.modality), []).append(image)
        negatives: dict[str, list[Negative]] = {}
        for _, negative in sorted(self.negatives.items()):
            negatives.setdefault(negative.patient_id, []).append(negative)
        object.__setattr__(self, "_images_of", images)
        object.__setattr__(self, "_negatives_of", negatives)

    def images_of(self, patient_id: str, modality: str | None = None) -> list[Image]:
        """List a patient's images, of one modality or of all, by image id; empty where there are none."""
        return list(self._images_of.get((patient_id, modality), ()))

    def negatives_of(self, patient_id: str) -> list[Negative]:
        """List the markers of a patient that were found negative and not photographed, by image id."""
        return list(self._negatives_of.get(patient_id, ()))

    def with_status(self, *statuses: str) -> list[Patient]:
        """List the patients of some statuses, by id."""
        return [patient for patient in self.patients.values() if patient.status in statuses]
