"""`tem`: each patient's TEM images, cleaned, as the instances of a bag.

The artifact of a patient is a Zarr group: the instances (whole images or patches), with image, box and scale of each.
A job reads the raw TEM images of the patient, their facts from `register`, and their rows in the table of images. It
calls `tem.tem.prepare_tem`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nephroscale.engine.stage import Need, PlanView, Stage, need
from nephroscale.stages.patients import prepared_patients

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.cohort.image import Image
    from nephroscale.engine.job import Job
    from nephroscale.tem.settings import TemSettings


class Tem(Stage):
    """One job per patient."""

    name = "tem"
    rule = "prepare_tem"
    pattern = "{patient}"
    suffix = ".zarr"

    def units(self, plan: PlanView) -> list[str]:
        """Patients in the folds, external patients, and patients whose TEM images have readings of deposits."""
        return prepared_patients(plan)

    def new_units(self, plan: PlanView) -> list[str]:
        return plan.new_patients

    @need("register")
    def facts(self, plan: PlanView, unit: str) -> list[Need]:
        """The facts of the patient's TEM images."""
        return [Need("register", unit, part=image.id) for image in self.raw(plan, unit)]

    def settings(self, plan: PlanView, unit: str) -> TemSettings:
        """All keys of `tem` but `prior`, which does not decide how images are cleaned."""
        return replace(plan.config.tem, prior="none")

    def rows(self, plan: PlanView, unit: str) -> object:
        """The images' rows in the table of images, without paths and labels."""
        return {image.id: image.row().to_mapping() for image in self.raw(plan, unit)}

    def modules(self, plan: PlanView, unit: str) -> tuple[str, ...]:
        """The module of the facts: the job reads them here, so no import of a domain module names it."""
        return ("nephroscale.slides.facts",)

    def raw(self, plan: PlanView, unit: str) -> list[Image]:
        """The patient's TEM images: their raw files are read."""
        return plan.images(unit, "TEM")

    def make(self, job: Job[TemSettings]) -> Mapping[str, object]:
        """Clean the images and write their instances; images that `register` rejected are left out, with reasons."""
        from nephroscale.tem.tem import TemImage, prepare_tem

        return prepare_tem(
            [TemImage(image.id, job.raw(image), job.facts(image.id)) for image in job.images()], job.settings, job.out
        )


STAGE = Tem()
