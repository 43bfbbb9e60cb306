"""`tem`: each patient's TEM images, cleaned, as the instances of a bag.

The artifact of a patient is a Zarr group with an entry for each of n instances (whole images or patches, of S x S
pixels): `images` [n, S, S] uint8; `image` [n] int16, index into the attribute `images` (the ids); `box` [n, 4] int32,
y, x, height, width in pixels of the raw image; `nm_per_px` [n] float32, NaN where unknown; `valid` [n, 4] int16, the
part that is not margin; `small` [n] bool. Attributes: the images left out, with reasons, and the quality of the others.
It is in the store; the link ``<results>/tem/<patient>.zarr`` leads to it.

A job reads the raw TEM images of the patient and their facts from `register`. Their rows in the table of images are in
the recipe alone. It calls `tem.tem.prepare_tem`, which removes drawn marks and evens contrast and illumination.
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
        """Eligible patients for diagnosis, external ones and, with `deposits.sites`, those with readings of deposits.

        A patient without TEM images is among them, and is rejected by :meth:`make`.
        """
        return prepared_patients(plan)

    def new_units(self, plan: PlanView) -> list[str]:
        """New patients; the target `tem` leaves them out, `predict` makes them."""
        return plan.new_patients

    @need("register")
    def facts(self, plan: PlanView, unit: str) -> list[Need]:
        """The facts of the patient's TEM images; `register` rejects single images, never a patient."""
        return [Need("register", unit, part=image.id) for image in self.raw(plan, unit)]

    def settings(self, plan: PlanView, unit: str) -> TemSettings:
        """All keys of `tem` but `prior`, which does not decide how images are cleaned."""
        return replace(plan.config.tem, prior="none")

    def rows(self, plan: PlanView, unit: str) -> object:
        """The images' rows in the table of images, without paths and labels."""
        return {image.id: image.row().to_mapping() for image in self.raw(plan, unit)}

    def modules(self, plan: PlanView, unit: str) -> tuple[str, ...]:
        """The module of the facts: `Job.facts` imports it, and code of the engine counts in no recipe."""
        return ("nephroscale.slides.facts",)

    def raw(self, plan: PlanView, unit: str) -> list[Image]:
        """The patient's TEM images: their raw files are read."""
        return plan.images(unit, "TEM")

    def make(self, job: Job[TemSettings]) -> Mapping[str, object]:
        """Clean the images and write their instances.

        Left out, with reasons: images that `register` rejected, copies of another image, and those beyond a limit of
        `tem`. If none is left, the patient is rejected.
        """
        from nephroscale.tem.tem import TemImage, prepare_tem

        return prepare_tem(
            [TemImage(image.id, job.raw(image), job.facts(image.id)) for image in job.images()], job.settings, job.out
        )


STAGE = Tem()
