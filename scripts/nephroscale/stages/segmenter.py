"""`segmenter`: the network that segments glomeruli in OM, trained on the patients set apart.

The artifact is a folder: `weights.safetensors` and `curve.json`. A job reads the pyramids and the outlines of these
patients (with `om.keep: coordinates` also their facts and raw files), and calls `glomeruli.segmenter.train_segmenter`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from nephroscale.engine.stage import Need, PlanView, Stage, need
from nephroscale.errors import NephroscaleError
from nephroscale.glomeruli.settings import SegmenterSettings
from nephroscale.stages.outlined_images import outlined_images
from nephroscale.stages.tile_pixels import pixel_modules, read_from_slide

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.cohort.image import Image
    from nephroscale.engine.job import Job
    from nephroscale.glomeruli.labelled_slide import AnnotatedSlide


class OutlinedSlidesStage(Stage):
    """A stage that trains segmenters on the outlined slides of patients who are set apart: its `raw` images."""

    torch = True
    seeded = True

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
        return [
            Need("register", image.patient_id, part=image.id) for image in read_from_slide(plan, self.raw(plan, unit))
        ]

    def settings(self, plan: PlanView, unit: str) -> SegmenterSettings:
        return plan.config.glomeruli.narrow(SegmenterSettings)

    def modules(self, plan: PlanView, unit: str) -> tuple[str, ...]:
        return pixel_modules(plan, self.raw(plan, unit))


class Segmenter(OutlinedSlidesStage):
    """One job per cohort, where patients with outlined OM slides are set apart."""

    name = "segmenter"
    rule = "train_segmenter"
    #: Of the slides that it is trained on, and that it searches.
    modality: ClassVar[str] = "OM"

    def units(self, plan: PlanView) -> list[str]:
        method = plan.config.glomeruli.method
        if method == "unet" and not self.raw(plan, "cohort"):
            raise NephroscaleError(
                "There is no outlined slide to train the segmenter on.",
                where="configuration, glomeruli.method: unet",
                fix="Set patients with outlined OM slides apart (use: segmentation), or choose `classical`.",
            )
        return ["cohort"] if method != "classical" and self.raw(plan, "cohort") else []

    def rows(self, plan: PlanView, unit: str) -> object:
        return [image.id for image in self.raw(plan, unit)]

    def raw(self, plan: PlanView, unit: str) -> list[Image]:
        return outlined_images(plan, self.modality)

    def make(self, job: Job[SegmenterSettings]) -> Mapping[str, object]:
        from nephroscale.glomeruli.segmenter import train_segmenter

        return train_segmenter(list(annotated_slides(job).values()), job.settings, job.seed, job.out)


def annotated_slides(job: Job[SegmenterSettings]) -> dict[str, AnnotatedSlide]:
    """The outlined slides of a job, by the ids of their images; without those that were rejected."""
    from nephroscale.glomeruli.labelled_slide import AnnotatedSlide

    tiles = {each.unit: each.path for each in job.inputs("tiles") if each.path}
    raw = {image.id: job.raw(image) for image in read_from_slide(job.plan, job.images())}
    return {
        image.id: AnnotatedSlide(image.id, tiles[image.id], job.annotation(image), raw.get(image.id), image.patient_id)
        for image in job.images()
        if image.id in tiles
    }


STAGE = Segmenter()
