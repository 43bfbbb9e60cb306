"""`segmenter`: the network that finds glomeruli, trained on the patients set apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nephroscale.engine.stage import Need, Stage
from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from nephroscale.cohort.tables import Image
    from nephroscale.engine.plan import Plan

#: Keys of the section `glomeruli` that training depends on; the others decide what is done with the result.
TRAINING_KEYS = ("mpp", "width", "steps", "batch", "patch_px")


class Segmenter(Stage):
    """One job a cohort, where patients with annotated slides are set apart."""

    name = "segmenter"
    rule = "train_segmenter"
    torch = True
    seeded = True
    after = ("tiles",)

    def units(self, plan: Plan) -> list[str]:
        method = plan.config["glomeruli"]["method"]
        if method == "unet" and not self.raw(plan, "cohort"):
            raise NephroscaleError(
                "There is no annotated slide to train the segmenter on.",
                where="configuration, glomeruli.method: unet",
                todo="Set patients with annotated OM slides apart (use: segmentation), or take `classical`.",
            )
        return ["cohort"] if method != "classical" and self.raw(plan, "cohort") else []

    def needs(self, plan: Plan, unit: str) -> list[Need]:
        images = self.raw(plan, unit)
        return [
            *(Need("tiles", image.id, optional=True) for image in images),
            *(Need("register", image.patient_id, f"{image.id}.annotation") for image in images),
        ]

    def settings(self, plan: Plan, unit: str) -> Any:
        return {key: plan.config["glomeruli"][key] for key in TRAINING_KEYS}

    def rows(self, plan: Plan, unit: str) -> Any:
        return [image.id for image in self.raw(plan, unit)]

    def raw(self, plan: Plan, unit: str) -> list[Image]:
        found = [image for patient in plan.segmentation_patients for image in plan.images(patient, "OM")]
        return [image for image in found if image.annotation]


STAGE = Segmenter()
