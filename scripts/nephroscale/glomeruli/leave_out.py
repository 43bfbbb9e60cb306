"""How well the segmenter finds the glomeruli of patients that it was not trained on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NotRequired, TypedDict

from nephroscale.errors import Rejected
from nephroscale.glomeruli.held_out import search_held_out
from nephroscale.glomeruli.labelled_slide import AnnotatedSlide, load_annotated
from nephroscale.glomeruli.outlines import LeftOut
from nephroscale.glomeruli.segmenter import train_segmenter
from nephroscale.glomeruli.settings import SegmenterSettings


class PatientCounts(TypedDict):
    """What was found in the slides of a patient.

    `outlines` are those of the annotation, `found` the contours of the segmenter, `matched` the pairs of both with an
    intersection over union of at least 0.5. `area` is the sum of both areas, `overlap` the area that they share, µm².
    """

    patient: str
    outlines: int
    found: int
    matched: int
    area: float
    overlap: float


class CheckFigures(TypedDict):
    """Figures of a check; `outlines_left_out` has slides and objects of annotations that were left out.

    `modality` is that of the slides; absent for OM.
    """

    patients: list[PatientCounts]
    outlines_left_out: list[LeftOut]
    modality: NotRequired[str]


class HeldOutPatient(NamedTuple):
    """A patient whose slides are searched."""

    patient: str
    slides: Sequence[AnnotatedSlide]


def check_segmenter(
    training: Sequence[AnnotatedSlide],
    held_out: Sequence[HeldOutPatient],
    settings: SegmenterSettings,
    seed: int,
    out: Path,
    *,
    modality: str = "OM",
) -> CheckFigures:
    """Train the segmenter on some patients and compare what it finds in others with their outlines.

    Parameters
    ----------
    training
        Slides to train on.
    held_out
        Other patients.
    settings
        Of the training.
    seed
        Of the training.
    out
        Folder to create: that of the training, with the figures as `held_out.json`.
    modality
        OM or IM.

    Raises
    ------
    Rejected
        When no slide can be trained on, or none of the held-out slides can be used.
    """
    train_segmenter(training, settings, seed, out)
    patients: list[PatientCounts] = []
    left_out: list[LeftOut] = []
    for one in held_out:
        searched = []
        for slide in one.slides:
            try:
                labelled = load_annotated(slide, settings)
            except Rejected as verdict:
                left_out.append({"id": slide.id, "reason": verdict.reason})
            else:
                searched.append(search_held_out(out, slide, labelled, settings))
        if searched:
            patients.append(
                {
                    "patient": one.patient,
                    "outlines": sum(slide.outlines for slide in searched),
                    "found": sum(len(slide.hits) for slide in searched),
                    "matched": sum(sum(slide.hits) for slide in searched),
                    "area": round(sum(slide.area for slide in searched), 1),
                    "overlap": round(sum(slide.overlap for slide in searched), 1),
                }
            )
    if not patients:
        raise Rejected("none of the annotated slides that were held out can be used", outlines_left_out=left_out)
    figures: CheckFigures = {"patients": patients, "outlines_left_out": left_out}
    if modality != "OM":
        figures["modality"] = modality
    (out / "held_out.json").write_text(json.dumps(figures, sort_keys=True, indent=1) + "\n", encoding="utf-8")
    return figures
