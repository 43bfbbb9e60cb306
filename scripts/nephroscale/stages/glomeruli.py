"""`glomeruli`: contours and crops of each OM and IM image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nephroscale.engine.stage import Need, Stage

if TYPE_CHECKING:
    from nephroscale.engine.plan import Plan


class Glomeruli(Stage):
    """One job an OM or IM image of a patient to diagnose."""

    name = "glomeruli"
    rule = "find_glomeruli"
    pattern = "{image}"
    torch = True
    after = ("tiles", "segmenter")

    def units(self, plan: Plan) -> list[str]:
        return [i.id for patient in plan.patients for m in ("OM", "IM") for i in plan.images(patient, m)]

    def new_units(self, plan: Plan) -> list[str]:
        return [i.id for patient in plan.new_patients for m in ("OM", "IM") for i in plan.images(patient, m)]

    def needs(self, plan: Plan, unit: str) -> list[Need]:
        image = plan.cohort.images[unit]
        needs = [Need("tiles", unit), Need("register", image.patient_id, image.id)]
        if image.modality == "OM" and image.roi != "whole" and plan.units("segmenter"):
            needs.append(Need("segmenter", "cohort"))
        return needs

    def settings(self, plan: Plan, unit: str) -> Any:
        return {k: v for k, v in plan.config["glomeruli"].items() if k not in {"steps", "batch", "patch_px"}}

    def modules(self, plan: Plan, unit: str) -> tuple[str, ...]:
        image = plan.cohort.images[unit]
        if image.roi == "whole":
            return ()
        by_network = image.modality == "OM" and plan.units("segmenter")
        return ("nephroscale.glomeruli.unet" if by_network else "nephroscale.glomeruli.classical",)

    def rows(self, plan: Plan, unit: str) -> Any:
        return plan.cohort.images[unit].row()


STAGE = Glomeruli()
