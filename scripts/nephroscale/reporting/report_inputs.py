"""Inputs of the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nephroscale.reporting.study_values import Trained


@dataclass(frozen=True)
class UnitOutcome:
    """Outcome of one unit of a stage, as its receipt gives it.

    Attributes
    ----------
    name
        Unit: a patient, an image, `cohort`, or model, fold and seed.
    status
        `accepted` or `rejected`.
    reason
        Why the unit was rejected.
    figures
        JSON values of the receipt. The report reads `because` (the earlier unit whose rejection is the cause) and
        `dropped` (TEM images left out: `id` and `reason`).
    bag
        Case and modality, of a bag of features.
    """

    name: str
    status: str
    reason: str | None = None
    figures: Mapping[str, object] = field(default_factory=dict)
    bag: tuple[str, str] | None = None

    @property
    def accepted(self) -> bool:
        """Whether the unit was accepted."""
        return self.status == "accepted"


@dataclass(frozen=True)
class ListedCase:
    """A case as the tables have it.

    Attributes
    ----------
    use
        `diagnosis`, `external`, `segmentation` or `exclude`.
    label, second
        Names of the class and of the second class of a soft label; None where there is none.
    person, biopsy
        Patient and biopsy of a case that is one of several biopsies; None for all others.
    reason
        Why the case takes no part; None where it does.
    site, scanner
        As in the table of patients.
    negatives
        Markers that were negative and not photographed.
    columns
        Columns of the table of patients that `report.subgroups` names, to their cells.
    dates
        The same of `report.dates`.
    """

    use: str
    label: str | None = None
    second: str | None = None
    person: str | None = None
    biopsy: str | None = None
    reason: str | None = None
    site: str | None = None
    scanner: str | None = None
    negatives: Sequence[str] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    dates: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ListedImage:
    """An image as the table of images has it.

    Attributes
    ----------
    case, modality
        Its case and modality.
    channel
        Its marker or stain; the modality where it has neither.
    exposure_ms, gain, grade
        None where the table gives none.
    """

    case: str
    modality: str
    channel: str = ""
    exposure_ms: float | None = None
    gain: float | None = None
    grade: float | None = None


@dataclass(frozen=True)
class FoldRun:
    """One fold and seed of a model.

    Attributes
    ----------
    fold, seed
        Name of the fold; seed.
    evaluation, training, temperature
        Objects of the stages `evaluate`, `train` and `temperature`; None where a stage has not finished.
    """

    fold: str
    seed: int
    evaluation: Path | None = None
    training: Path | None = None
    temperature: Path | None = None


@dataclass(frozen=True)
class ModelRuns:
    """All runs of one model.

    Attributes
    ----------
    modalities
        Modalities that the model reads.
    attention
        Whether a model of several modalities uses attention between them.
    runs
        Its runs, in any order.
    """

    modalities: tuple[str, ...]
    attention: bool = True
    runs: tuple[FoldRun, ...] = ()


@dataclass(frozen=True)
class SlidePicture:
    """Pictures of one slide or field.

    Attributes
    ----------
    image_id, patient_id
        Ids.
    thumbnail
        Picture of the whole slide.
    overlay
        Picture with the outlines of the glomeruli; None where the slide was not searched.
    glomeruli
        Number of glomeruli found; None where the slide was not searched.
    fullest_section
        Number of them in the fullest of its sections.
    fullest_sclerosed
        Number of sclerosed ones among these; None where it is unknown which are sclerosed.
    tiles
        Object of the stage `tiles`, if the tissue is to be outlined on the overlay.
    mpp
        µm per pixel of the overlay, or of the thumbnail without one, if a scale bar is to be drawn.
    outlined
        Whether a person outlined the glomeruli.
    crops
        Zarr group of the crops of the glomeruli; None where the slide was not searched.
    """

    image_id: str
    patient_id: str
    thumbnail: Path
    overlay: Path | None = None
    glomeruli: int | None = None
    fullest_section: int | None = None
    fullest_sclerosed: int | None = None
    tiles: Path | None = None
    mpp: float | None = None
    outlined: bool = False
    crops: Path | None = None


@dataclass(frozen=True, kw_only=True)
class CaseInputs:
    """What pages of cases are made from, beside predictions.

    Attributes
    ----------
    classes
        Names of the classes, in the order of their indices.
    stages
        Stage to the outcomes of its units, in the order of the stages.
    slides, fields
        OM slides and fields; IM fields.
    tem
        Patient id to the object of the stage `tem`.
    deposits
        Site and a folder of predictions of deposits, of each fold and seed or of a batch.
    cases
        Case id to what the tables have about it.
    images
        Image id to what the tables have about it.
    """

    classes: Sequence[str]
    stages: Mapping[str, Sequence[UnitOutcome]] = field(default_factory=dict)
    slides: Sequence[SlidePicture] = ()
    fields: Sequence[SlidePicture] = ()
    tem: Mapping[str, Path] = field(default_factory=dict)
    deposits: Sequence[tuple[str, Path]] = ()
    cases: Mapping[str, ListedCase] = field(default_factory=dict)
    images: Mapping[str, ListedImage] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ReportInputs(CaseInputs):
    """Everything that the report is made from, except its settings.

    Attributes
    ----------
    folds
        Object of the stage `folds`, or its file `folds.json`.
    models
        Name to runs; the first model leads the report unless the settings name another one.
    tiles
        Image id to the object of the stage `tiles`.
    test_set_uses
        Fold to the number of configurations ever scored on its test patients, including those of this run.
    external_opened
        Whether the external patients were looked at before, in words; None without external patients.
    ordinal
        Whether the classes are ordered.
    external
        Model to its object of the stage `predict` for the external patients.
    features
        Case id and modality to the object of the stage `features`.
    registered
        Case id to the file of its images' facts.
    trained
        Model to what was trained.
    readings
        Reader to case id to the name of the class, or None where the reader named none.
    missing_twins
        What to list so that the report can show the effect of the prior of TEM images.
    """

    folds: Path
    models: Mapping[str, ModelRuns]
    tiles: Mapping[str, Path] = field(default_factory=dict)
    test_set_uses: Mapping[str, int] = field(default_factory=dict)
    external_opened: str | None = None
    ordinal: bool = False
    external: Mapping[str, Path] = field(default_factory=dict)
    features: Mapping[tuple[str, str], Path] = field(default_factory=dict)
    registered: Mapping[str, Path] = field(default_factory=dict)
    trained: Mapping[str, Trained] = field(default_factory=dict)
    readings: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    missing_twins: Sequence[str] = ()
