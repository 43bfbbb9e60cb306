"""`segmenter_check`: what the segmenter finds in patients who were held out of its training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nephroscale.engine.stage import Need, PlanView, Stage, need
from nephroscale.glomeruli.settings import SegmenterSettings
from nephroscale.stages.tile_pixels import pixel_modules, read_from_slide

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.cohort.image import Image
    from nephroscale.engine.job import Job


@dataclass(frozen=True)
class Fold:
    """Outlined slides of the patients who are held out, and of the others."""

    held_out: dict[str, list[Image]]
    training: list[Image]


class SegmenterCheck(Stage):
    """One job per fold of the patients set apart; only the report waits for it."""

    name = "segmenter_check"
    rule = "check_segmenter"
    pattern = "fold{fold}"
    torch = True
    seeded = True

    def units(self, plan: PlanView) -> list[str]:
        return [f"fold{fold}" for fold in range(len(_folds(plan)))]

    @need("tiles")
    def tiles(self, plan: PlanView, unit: str) -> list[Need]:
        """The pyramids of the outlined slides; a rejected one is left out."""
        return [Need("tiles", image.id, optional=True) for image in self.raw(plan, unit)]

    @need("register")
    def outlines(self, plan: PlanView, unit: str) -> list[Need]:
        """The registered outlines of these slides."""
        return [Need("register", image.patient_id, part=f"{image.id}.annotation") for image in self.raw(plan, unit)]

    @need("register")
    def facts(self, plan: PlanView, unit: str) -> list[Need]:
        """The facts of those slides whose tiles keep no pixels: the digest of the raw file, which is read."""
        slides = read_from_slide(plan, self.raw(plan, unit))
        return [Need("register", image.patient_id, part=image.id) for image in slides]

    def settings(self, plan: PlanView, unit: str) -> SegmenterSettings:
        return plan.config.glomeruli.narrow(SegmenterSettings)

    def modules(self, plan: PlanView, unit: str) -> tuple[str, ...]:
        return pixel_modules(plan, self.raw(plan, unit))

    def rows(self, plan: PlanView, unit: str) -> object:
        fold = _fold(plan, unit)
        return {
            "held_out": {patient: [image.id for image in images] for patient, images in fold.held_out.items()},
            "training": [image.id for image in fold.training],
        }

    def raw(self, plan: PlanView, unit: str) -> list[Image]:
        fold = _fold(plan, unit)
        return [*fold.training, *(image for images in fold.held_out.values() for image in images)]

    def make(self, job: Job) -> Mapping[str, object]:
        from nephroscale.glomeruli.labelled_slide import AnnotatedSlide
        from nephroscale.glomeruli.leave_out import HeldOutPatient, check_segmenter

        assert isinstance(job.settings, SegmenterSettings)
        assert job.seed is not None
        tiles = {each.unit: each.path for each in job.inputs("tiles") if each.path}
        raw = {image.id: job.raw(image) for image in read_from_slide(job.plan, job.images())}
        slides = {
            image.id: AnnotatedSlide(image.id, tiles[image.id], job.annotation(image), raw.get(image.id))
            for image in job.images()
            if image.id in tiles
        }
        rows: Any = job.rows
        return check_segmenter(
            [slides[image] for image in rows["training"] if image in slides],
            [
                HeldOutPatient(patient, [slides[image] for image in images if image in slides])
                for patient, images in rows["held_out"].items()
            ],
            job.settings,
            job.seed,
            job.out,
        )


def _folds(plan: PlanView) -> list[list[str]]:
    """The patients that each fold holds out; none where no segmenter is trained or nobody is left to train on."""
    if not plan.units("segmenter"):
        return []
    groups = {}
    for name in plan.segmentation_patients:
        if _outlined(plan, name):
            patient = plan.cohort.patients[name]
            groups[name] = patient.group or patient.person or name
    return share_out(groups, plan.config.glomeruli.check_folds)


def _fold(plan: PlanView, unit: str) -> Fold:
    held_out = _folds(plan)[int(unit.removeprefix("fold"))]
    others = [name for name in plan.segmentation_patients if name not in held_out]
    return Fold(
        {name: _outlined(plan, name) for name in held_out},
        [image for name in others for image in _outlined(plan, name)],
    )


def _outlined(plan: PlanView, patient: str) -> list[Image]:
    return [image for image in plan.images(patient, "OM") if image.annotation]


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
