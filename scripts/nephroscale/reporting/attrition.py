"""Attrition of the cohort: units accepted and rejected by each stage, with the reasons."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from nephroscale.collect import grouped
from nephroscale.reporting.report_inputs import UnitOutcome

# Unit of each stage: singular, plural.
UNITS = {
    "register": ("patient", "patients"),
    "reference": ("cohort", "cohorts"),
    "tiles": ("slide or field", "slides and fields"),
    "segmenter": ("cohort", "cohorts"),
    "segmenter_im": ("cohort", "cohorts"),
    "segmenter_check": ("fold", "folds"),
    "glomeruli": ("slide or field", "slides and fields"),
    "tem": ("patient", "patients"),
    "features": ("patient and modality", "patients and modalities"),
    "folds": ("cohort", "cohorts"),
    "train": ("run", "runs"),
    "temperature": ("model and fold", "models and folds"),
    "deposit_priors": ("fold", "folds"),
    "deposit_models": ("model of deposits", "models of deposits"),
    "new_deposits": ("site and batch", "sites and batches"),
    "new_cases": ("set of patients", "sets of patients"),
    "deposit_predictions": ("fold and seed", "folds and seeds"),
    "evaluate": ("run", "runs"),
    "predict": ("set of patients", "sets of patients"),
}


class StageCount(NamedTuple):
    """Number of units of a stage; `unit` is their name."""

    stage: str
    unit: str
    total: int
    accepted: int

    @property
    def rejected(self) -> int:
        """Number of rejected units."""
        return self.total - self.accepted

    @property
    def accepted_percent(self) -> float:
        """Accepted units in percent."""
        return round(100 * self.accepted / self.total, 2)


class Reason(NamedTuple):
    """A reason for rejection, and the units that were rejected for it."""

    reason: str
    units: list[str]


@dataclass(frozen=True)
class StageRejections:
    """Rejections of a stage by reason; `follows` counts the units that were lost because of an earlier rejection."""

    stage: str
    reasons: list[Reason]
    follows: int


class AlikePair(NamedTuple):
    """Two images with equal or similar content; `names` has both with their patients and uses."""

    names: str
    likeness: str
    remark: str


class OutlinesLeftOut(NamedTuple):
    """Objects of the annotation of an image that were left out; `objects` is None for the whole annotation."""

    image: str
    reason: str
    objects: int | None


class LeftOutImage(NamedTuple):
    """A TEM image that was left out of its patient's bag, or for which there is no bag."""

    patient: str
    image: str
    reason: str


class DifferingScales(NamedTuple):
    """An image of which two sources give scales that differ by more than 5 %."""

    patient: str
    image: str
    scales: str


class Doubt(NamedTuple):
    """A reason to check images, and their ids."""

    reason: str
    images: list[str]


def shorten_reason(reason: str) -> str:
    """Leave out which earlier units a reason was handed on from: `tem of P19: no image` becomes `no image`."""
    return re.sub(rf"\b(?:{'|'.join(UNITS)}) of [A-Za-z0-9][A-Za-z0-9_-]*: ", "", reason)


def count_stages(stages: Mapping[str, Sequence[UnitOutcome]]) -> list[StageCount]:
    """Count the units that each stage accepted, in the order of the stages; a stage without units is left out."""
    return [
        StageCount(
            stage=stage,
            unit=UNITS.get(stage, ("unit", "units"))[len(units) > 1],
            total=len(units),
            accepted=sum(unit.accepted for unit in units),
        )
        for stage, units in stages.items()
        if units
    ]


def list_rejections(stages: Mapping[str, Sequence[UnitOutcome]], excluded: Mapping[str, str]) -> list[StageRejections]:
    """Group the rejected units by stage and reason, and count the consequences of earlier rejections.

    Parameters
    ----------
    stages
        Stage to the outcomes of its units. A unit with `because` among its figures was rejected because of that
        earlier unit.
    excluded
        Patient to the reason for the exclusion from the folds.
    """
    groups = []
    for stage, units in stages.items():
        rejected = [unit for unit in units if not unit.accepted]
        first = [unit for unit in rejected if "because" not in unit.figures]
        follows = len(rejected) - len(first)
        named = [(unit.reason or "no reason given", unit.name) for unit in first]
        if stage == "folds":
            named += [
                (f"excluded from the folds: {shorten_reason(reason)}", patient) for patient, reason in excluded.items()
            ]
        listed = [Reason(reason, sorted(names)) for reason, names in sorted(grouped(named).items())]
        if listed or follows:
            groups.append(StageRejections(stage, listed, follows))
    return groups


def list_dropped_images(stages: Mapping[str, Sequence[UnitOutcome]]) -> list[LeftOutImage]:
    """List the TEM images that were left out, also of patients who have no usable one."""
    return [
        LeftOutImage(unit.name, str(image["id"]), str(image["reason"]))
        for unit in stages.get("tem", [])
        for image in cast("list[Mapping[str, object]]", unit.figures.get("dropped", []))
    ]


def list_outlines_left_out(stages: Mapping[str, Sequence[UnitOutcome]]) -> list[OutlinesLeftOut]:
    """List the objects that were left out of annotations, those of rejected slides included."""
    found = {
        OutlinesLeftOut(str(entry["id"]), str(entry["reason"]), entry.get("count"))
        for stage in ("segmenter", "segmenter_im", "segmenter_check", "glomeruli")
        for unit in stages.get(stage, [])
        for entry in cast("list[Any]", unit.figures.get("outlines_left_out", []))
    }
    return sorted(found, key=str)


def describe_searches(stages: Mapping[str, Sequence[UnitOutcome]]) -> list[str]:
    """State what is uncertain of the outlines that were detected: their scores, and slides of unknown stains."""
    slides = stages.get("glomeruli", ())
    notes = []
    if any(unit.figures.get("scores") == "uncalibrated" for unit in slides):
        notes.append("Scores of glomeruli are uncalibrated: they rank outlines, and are not probabilities.")
    unknown = sorted(unit.name for unit in slides if unit.figures.get("stain_unknown"))
    if unknown:
        more = f" and {len(unknown) - 12} more" if len(unknown) > 12 else ""
        notes.append(
            f"{len(unknown)} of {len(slides)} slides and fields have the colours of no slide, or the marker of no "
            f"field, that the segmenter was trained on, and their outlines are less certain: "
            f"{', '.join(unknown[:12])}{more}."
        )
    return notes


def list_differing_scales(stages: Mapping[str, Sequence[UnitOutcome]]) -> list[DifferingScales]:
    """List the images of which two sources give scales that differ."""
    return [
        DifferingScales(unit.name, image, str(scales))
        for unit in stages.get("register", [])
        for image, scales in cast("Mapping[str, object]", unit.figures.get("differing_scales", {})).items()
    ]


def list_doubtful_images(stages: Mapping[str, Sequence[UnitOutcome]]) -> list[Doubt]:
    """List the images of which a person should check the file, the scale, the colours or the annotation, by reason."""
    found = grouped(
        (str(doubt), image)
        for stage in ("register", "tiles", "segmenter", "segmenter_im", "glomeruli")
        for unit in stages.get(stage, [])
        for image, doubt in cast("Mapping[str, object]", unit.figures.get("doubtful_images", {})).items()
    )
    return [Doubt(reason, images) for reason, images in found.items()]


def list_alike_images(stages: Mapping[str, Sequence[UnitOutcome]]) -> list[AlikePair]:
    """List the images with equal or similar content that the folds were made with."""
    return [
        AlikePair(
            pair["names"],
            pair["likeness"],
            pair["reason"] or ("one patient" if pair["same_patient"] else "to be compared by eye"),
        )
        for unit in stages.get("folds", ())[:1]
        for pair in cast("list[Any]", unit.figures.get("alike_images", []))
    ]
