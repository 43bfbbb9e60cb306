"""`glomeruli`: contours and crops of each OM and IM image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nephroscale.engine.stage import Need, PlanView, Stage, need
from nephroscale.glomeruli.settings import DetectionSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.engine.job import Job


class Glomeruli(Stage):
    """One job per OM or IM image of a patient to diagnose."""

    name = "glomeruli"
    rule = "find_glomeruli"
    pattern = "{image}"
    torch = True

    def units(self, plan: PlanView) -> list[str]:
        return [image.id for patient in plan.patients for image in plan.images(patient, "OM", "IM")]

    def new_units(self, plan: PlanView) -> list[str]:
        return [image.id for patient in plan.new_patients for image in plan.images(patient, "OM", "IM")]

    @need("tiles")
    def tiles(self, plan: PlanView, unit: str) -> Need:
        """The slide's pyramid."""
        return Need("tiles", unit)

    @need("segmenter")
    def segmenter(self, plan: PlanView, unit: str) -> Need | None:
        """The trained segmenter, for OM slides that one glomerulus does not fill, where the cohort has one."""
        image = plan.cohort.images[unit]
        segmented = image.modality == "OM" and image.roi != "whole" and plan.units("segmenter")
        return Need("segmenter", "cohort") if segmented else None

    def settings(self, plan: PlanView, unit: str) -> DetectionSettings:
        return plan.config.glomeruli.narrow(DetectionSettings)

    def modules(self, plan: PlanView, unit: str) -> tuple[str, ...]:
        image = plan.cohort.images[unit]
        if image.roi == "whole":
            return ()
        by_network = image.modality == "OM" and plan.units("segmenter")
        return ("nephroscale.glomeruli.unet" if by_network else "nephroscale.glomeruli.classical",)

    def rows(self, plan: PlanView, unit: str) -> object:
        return plan.cohort.images[unit].row().to_mapping()

    def make(self, job: Job) -> Mapping[str, object]:
        from nephroscale.glomeruli.glomeruli import find_glomeruli

        assert isinstance(job.settings, DetectionSettings)
        segmenter = job.optional_input("segmenter")
        row = job.plan.cohort.images[job.unit].row()
        weights = segmenter.path if segmenter else None
        return find_glomeruli(job.input("tiles").object, weights, row, job.settings, job.out)


STAGE = Glomeruli()
