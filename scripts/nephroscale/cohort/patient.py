"""A patient of the cohort."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PatientRow:
    """What decides a patient's place in the folds.

    Parameters
    ----------
    id
        Id of the patient, or of the case where a patient has several biopsies.
    label
        Name of the class; None where the patient has none.
    eligible
        Whether the patient takes part in the folds.
    reason
        Why the patient is not eligible; None for eligible patients.
    group
        Patients of one group stay on one side of every split; None for patients without a group.
    site
        Hospital or laboratory; None where unknown.
    text
        The label as the table of patients has it.
    mixed
        The two neighbouring classes that the label lies between; None for a label that is one class.
    second
        Second class of a soft label (weight 0.5); None for all other labels.
    person
        Id of the patient, where a case is one of several biopsies; None otherwise.
    """

    id: str
    label: str | None
    eligible: bool = True
    reason: str | None = None
    group: str | None = None
    site: str | None = None
    text: str = ""
    mixed: tuple[str, str] | None = None
    second: str | None = None
    person: str | None = None

    def to_mapping(self) -> dict[str, object]:
        """Return the row as it enters recipes, in JSON types."""
        return {
            "id": self.id,
            "label": self.label,
            "group": self.group,
            "site": self.site,
            "text": self.text,
            "eligible": self.eligible,
            "reason": self.reason,
            **({"mixed": list(self.mixed), "second": self.second} if self.mixed else {}),
            **({"person": self.person} if self.person else {}),
        }


@dataclass(frozen=True, slots=True)
class Patient:
    """One row of the table of patients.

    Parameters
    ----------
    id
        Unique without regard to case.
    label_text
        The label as the table has it; empty where there is none.
    label
        Name of the class; None for `exclude`, `ambiguous`, and where there is no label.
    status
        ``eligible`` (has a class, and a use that needs one), ``exclude``, ``ambiguous``, ``segmentation`` or ``new``.
    use
        As in the table: ``diagnosis``, ``segmentation``, ``external`` or ``exclude``; ``new`` for patients of the table
        `predict.patients`, who have no label.
    reason
        Why the patient is not eligible; None for eligible patients.
    group, site, scanner
        None where the table leaves them empty.
    columns
        The free columns.
    mixed
        The two neighbouring classes that the label lies between; None for a label that is one class.
    second
        Second class of a soft label (weight 0.5, `task.mixed: soft`); None for all other labels.
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

    @property
    def in_diagnosis(self) -> bool:
        """Whether the patient takes part in the folds, as far as the tables decide it."""
        return self.status == "eligible" and self.use == "diagnosis"

    def row(self) -> PatientRow:
        """Return what decides the patient's place in the folds."""
        return PatientRow(
            id=self.id,
            label=self.label,
            eligible=self.in_diagnosis,
            reason=self.reason,
            group=self.group,
            site=self.site,
            text=self.label_text,
            mixed=self.mixed,
            second=self.second,
            person=self.person,
        )
