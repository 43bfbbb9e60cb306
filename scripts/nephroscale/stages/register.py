"""`register`: each patient's raw files, their digests and facts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nephroscale.engine.stage import Need, Stage
from nephroscale.slides.readers.registry import READERS

if TYPE_CHECKING:
    from pathlib import Path

    from nephroscale.cohort.tables import Image
    from nephroscale.engine.plan import Plan


class Register(Stage):
    """One job a patient; its object is ``{image_id: facts}``, and each image is a part of it."""

    name = "register"
    rule = "register_patient"
    pattern = "{patient}"
    suffix = ".facts.json"

    def units(self, plan: Plan) -> list[str]:
        return [*plan.patients, *plan.segmentation_patients]

    def new_units(self, plan: Plan) -> list[str]:
        return plan.new_patients

    def needs(self, plan: Plan, unit: str) -> list[Need]:
        return []

    def settings(self, plan: Plan, unit: str) -> Any:
        return {}

    def rows(self, plan: Plan, unit: str) -> Any:
        return {image.id: image.row() for image in plan.cohort.images_of(unit)}

    def files(self, plan: Plan, unit: str) -> dict[str, str] | None:
        digests: dict[str, str] = {}
        for name, path in raw_paths(plan, unit).items():
            digest = plan.raw_cache.quickly(path)
            if digest is None:
                return None
            digests[name] = digest
        return digests

    def modules(self, plan: Plan, unit: str) -> tuple[str, ...]:
        return tuple(READERS.values())  # it is registering that finds out which reader takes a file

    def raw(self, plan: Plan, unit: str) -> list[Image]:
        return plan.cohort.images_of(unit)


def raw_paths(plan: Plan, patient: str) -> dict[str, Path]:
    """The raw files of a patient, by the names that they have in recipes."""
    return {
        image.id + label: path
        for image in plan.cohort.images_of(patient)
        for label, path in (("", image.path), (".annotation", image.annotation))
        if path
    }


STAGE = Register()
