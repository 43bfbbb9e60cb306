"""`reference`: the stains that slides are normalised to, fitted on the patients set apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nephroscale.engine.stage import Need, PlanView, Stage, need
from nephroscale.slides.readers.registry import READERS
from nephroscale.slides.settings import OmTilingSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.cohort.image import Image
    from nephroscale.engine.job import Job


class Reference(Stage):
    """One job per cohort, unless the configuration names a file of reference stains."""

    name = "reference"
    rule = "fit_reference"

    def units(self, plan: PlanView) -> list[str]:
        om = plan.config.om
        fitted = om.reference_file is None and om.normalisation != "none"
        return ["cohort"] if fitted and self.raw(plan, "cohort") else []

    @need("register")
    def facts(self, plan: PlanView, unit: str) -> list[Need]:
        """The facts of the OM slides of the patients set apart."""
        return [Need("register", image.patient_id, part=image.id) for image in self.raw(plan, unit)]

    def settings(self, plan: PlanView, unit: str) -> OmTilingSettings:
        return plan.config.om.narrow(OmTilingSettings)

    def rows(self, plan: PlanView, unit: str) -> object:
        return {image.id: image.row().to_mapping() for image in self.raw(plan, unit)}

    def modules(self, plan: PlanView, unit: str) -> tuple[str, ...]:
        facts = [(plan.object_json("register", i.patient_id) or {}).get(i.id, {}) for i in self.raw(plan, unit)]
        return (
            "nephroscale.slides.facts",
            *sorted({READERS[each["reader"]] for each in facts if each.get("reader") in READERS}),
        )

    def raw(self, plan: PlanView, unit: str) -> list[Image]:
        return [image for patient in plan.segmentation_patients for image in plan.images(patient, "OM")]

    def make(self, job: Job[OmTilingSettings]) -> Mapping[str, object]:
        from nephroscale.slides.reference import ReferenceSlide, write_reference

        return write_reference(
            [ReferenceSlide(job.raw(image), job.facts(image.id), str(image.stain)) for image in job.images()],
            job.settings,
            job.out,
        )


STAGE = Reference()
