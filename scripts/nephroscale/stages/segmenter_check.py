"""`segmenter_check`: what the segmenter finds in patients who were held out of its training.

The artifact of a fold is a folder: the network `weights.safetensors` and its curve `curve.json`, trained without the
patients of the fold, and `held_out.json`, which counts for each of these patients the outlines, the contours that the
network found, the pairs that match, and the areas. It is in the store; the link ``<results>/segmenter_check/fold<n>``
(IM: ``fold<n>-IM``) leads to it.

The inputs are declared in `OutlinedSlidesStage` (stages/segmenter.py), for the outlined slides of all patients set
apart: `tiles`, `outlines` (from `register`) and, with `keep: coordinates`, `facts`. The files of the outlines are read,
too, and with `coordinates` the raw files. The settings are the keys of `glomeruli` that `SegmenterSettings` declares. A
job calls `glomeruli.leave_out.check_segmenter`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nephroscale.stages.outlined_images import outlined_images
from nephroscale.stages.segmenter import OutlinedSlidesStage, annotated_slides

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.cohort.image import Image
    from nephroscale.engine.job import Job
    from nephroscale.engine.stage import PlanView
    from nephroscale.glomeruli.settings import SegmenterSettings


SUFFIXES = {"OM": "", "IM": "-IM"}  # of a fold's name, by modality


@dataclass(frozen=True)
class Fold:
    """Outlined slides of the patients who are held out, and of the others."""

    held_out: dict[str, list[Image]]
    training: list[Image]


class SegmenterCheck(OutlinedSlidesStage):
    """One job per fold of the patients set apart; only the report waits for it."""

    name = "segmenter_check"
    rule = "check_segmenter"
    pattern = "fold{fold}"

    def units(self, plan: PlanView) -> list[str]:
        """``fold0`` and so on for OM, ``fold0-IM`` for IM; none where no segmenter is trained.

        The patients set apart with outlined slides are divided into at most `glomeruli.check_folds` folds. Patients of
        a group stay together. With fewer than two folds there is no check.
        """
        return [
            f"fold{fold}{suffix}"
            for modality, suffix in SUFFIXES.items()
            for fold in range(len(_folds(plan, modality)))
        ]

    def rows(self, plan: PlanView, unit: str) -> object:
        """The ids of the images held out, by patient, and of the images to train on.

        They follow from the division, so `glomeruli.check_folds` is not among the settings.
        """
        fold = _fold(plan, unit)
        return {
            "held_out": {patient: [image.id for image in images] for patient, images in fold.held_out.items()},
            "training": [image.id for image in fold.training],
        }

    def raw(self, plan: PlanView, unit: str) -> list[Image]:
        """The outlined slides of both sides of the fold."""
        fold = _fold(plan, unit)
        return [*fold.training, *(image for images in fold.held_out.values() for image in images)]

    def make(self, job: Job[SegmenterSettings]) -> Mapping[str, object]:
        """Train the segmenter on the other patients, and search the slides of those held out.

        Slides whose tiles were rejected are left out. The fold is rejected if no slide can be trained on, or none can
        be searched.
        """
        from nephroscale.glomeruli.leave_out import HeldOutPatient, check_segmenter

        slides = annotated_slides(job)
        return check_segmenter(
            [slides[image] for image in job.rows["training"] if image in slides],
            [
                HeldOutPatient(patient, [slides[image] for image in images if image in slides])
                for patient, images in job.rows["held_out"].items()
            ],
            job.settings,
            job.seed,
            job.out,
            modality=_modality(job.unit),
        )


def _folds(plan: PlanView, modality: str) -> list[list[str]]:
    """The patients that each fold holds out; none where no segmenter is trained or nobody is left to train on."""
    if not plan.units("segmenter" if modality == "OM" else "segmenter_im"):
        return []
    outlined = [
        plan.cohort.patients[name] for name in plan.segmentation_patients if outlined_images(plan, modality, [name])
    ]
    groups = {patient.id: patient.group or patient.person or patient.id for patient in outlined}
    return share_out(groups, plan.config.glomeruli.check_folds)


def _modality(unit: str) -> str:
    return "IM" if unit.endswith(SUFFIXES["IM"]) else "OM"


def _fold(plan: PlanView, unit: str) -> Fold:
    modality = _modality(unit)
    held_out = _folds(plan, modality)[int(unit.removeprefix("fold").removesuffix(SUFFIXES[modality]))]
    others = [name for name in plan.segmentation_patients if name not in held_out]
    return Fold(
        {name: outlined_images(plan, modality, [name]) for name in held_out}, outlined_images(plan, modality, others)
    )


def share_out(groups: Mapping[str, str], folds: int) -> list[list[str]]:
    """Divide patients into folds of about equal size; patients of a group stay together.

    Parameters
    ----------
    groups
        Patient to group.
    folds
        Largest number of folds.

    Returns
    -------
    list of list of str
        The patients of each fold, in order. Empty if there are fewer than two groups or folds.
    """
    names = sorted(set(groups.values()))
    count = min(folds, len(names))
    if count < 2:
        return []
    place = {name: index % count for index, name in enumerate(names)}
    return [sorted(patient for patient, name in groups.items() if place[name] == fold) for fold in range(count)]


STAGE = SegmenterCheck()
