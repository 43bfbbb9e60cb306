"""`tem`: each patient's TEM images, cleaned, as the instances of a bag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nephroscale.engine.stage import Need, Stage

if TYPE_CHECKING:
    from nephroscale.cohort.tables import Image
    from nephroscale.engine.plan import Plan


class Tem(Stage):
    """One job a patient."""

    name = "tem"
    rule = "prepare_tem"
    pattern = "{patient}"
    suffix = ".zarr"
    after = ("register",)

    def units(self, plan: Plan) -> list[str]:
        return plan.patients

    def new_units(self, plan: Plan) -> list[str]:
        return plan.new_patients

    def needs(self, plan: Plan, unit: str) -> list[Need]:
        return [Need("register", unit, image.id) for image in self.raw(plan, unit)]

    def upstream(self, plan: Plan, unit: str) -> list[Need]:
        return [Need("register", unit)]

    def settings(self, plan: Plan, unit: str) -> Any:
        return plan.config["tem"]

    def rows(self, plan: Plan, unit: str) -> Any:
        return {image.id: image.row() for image in self.raw(plan, unit)}

    def raw(self, plan: Plan, unit: str) -> list[Image]:
        return plan.images(unit, "TEM")


STAGE = Tem()
