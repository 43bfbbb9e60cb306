"""`reference`: the stains that OM slides are normalised to, fitted on the patients set apart.

The artifact is a JSON file: for each stain, the Macenko and Reinhard parameters (`macenko`, `reinhard`) of the slide
that is closest to all others (medoid), and the numbers of slides that were fitted (`slides`) and not (`rejected`). With
`om.normalisation: vahadane` it has `vahadane`, too. It is in the store; the link ``<results>/reference`` leads to it.

A job reads the raw OM slides of the patients set apart and their facts from `register`. Their rows in the table of
images are in the recipe. It calls `slides.reference.write_reference`.
"""

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
        """One, if patients set apart have OM slides of `om.stains`.

        None if the configuration names a file of reference stains (`om.reference_file`), or switches normalisation off.
        """
        om = plan.config.om
        fitted = om.reference_file is None and om.normalisation != "none"
        return ["cohort"] if fitted and self.raw(plan, "cohort") else []

    @need("register")
    def facts(self, plan: PlanView, unit: str) -> list[Need]:
        """The facts of the OM slides of the patients set apart."""
        return [Need("register", image.patient_id, part=image.id) for image in self.raw(plan, unit)]

    def settings(self, plan: PlanView, unit: str) -> OmTilingSettings:
        """The keys of `om` that `OmTilingSettings` declares (slides/settings.py).

        `om.stains` chooses the slides, and with `om.reference_file` the stage has no unit: neither counts by itself.
        """
        return plan.config.om.narrow(OmTilingSettings)

    def rows(self, plan: PlanView, unit: str) -> object:
        """The slides' rows in the table of images, without paths and labels."""
        return {image.id: image.row().to_mapping() for image in self.raw(plan, unit)}

    def modules(self, plan: PlanView, unit: str) -> tuple[str, ...]:
        """The module of the facts, and the readers of the slides, as `register` found them."""
        facts = [(plan.object_json("register", i.patient_id) or {}).get(i.id, {}) for i in self.raw(plan, unit)]
        return (
            "nephroscale.slides.facts",
            *sorted({READERS[each["reader"]] for each in facts if each.get("reader") in READERS}),
        )

    def raw(self, plan: PlanView, unit: str) -> list[Image]:
        """The OM slides of `om.stains` of the patients set apart: their raw files are read."""
        return [image for patient in plan.segmentation_patients for image in plan.images(patient, "OM")]

    def make(self, job: Job[OmTilingSettings]) -> Mapping[str, object]:
        """Fit the stains of each slide, and keep those of the medoid of each stain.

        Slides that `register` rejected, or whose tissue cannot be sampled, are counted and left out. If none is left,
        the reference is rejected. Then `tiles` normalises no OM slide.
        """
        from nephroscale.slides.reference import ReferenceSlide, write_reference

        return write_reference(
            [ReferenceSlide(job.raw(image), job.facts(image.id), str(image.stain)) for image in job.images()],
            job.settings,
            job.out,
        )


STAGE = Reference()
