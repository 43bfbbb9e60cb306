"""`reference`: the stains that slides are normalised to, fitted on the patients set apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nephroscale.engine.stage import Need, Stage

if TYPE_CHECKING:
    from nephroscale.cohort.tables import Image
    from nephroscale.engine.plan import Plan


class Reference(Stage):
    """One job a cohort, where the configuration says that the cohort sets its own reference."""

    name = "reference"
    rule = "fit_reference"
    after = ("register",)

    def units(self, plan: Plan) -> list[str]:
        om = plan.config["om"]
        asked = om["reference"] == "cohort" and om["normalisation"] != "none"
        return ["cohort"] if asked and self.raw(plan, "cohort") else []

    def needs(self, plan: Plan, unit: str) -> list[Need]:
        return [Need("register", image.patient_id, image.id) for image in self.raw(plan, unit)]

    def settings(self, plan: Plan, unit: str) -> Any:
        return plan.config["om"]

    def rows(self, plan: Plan, unit: str) -> Any:
        return {image.id: image.row() for image in self.raw(plan, unit)}

    def raw(self, plan: Plan, unit: str) -> list[Image]:
        return [image for patient in plan.segmentation_patients for image in plan.images(patient, "OM")]


STAGE = Reference()
