"""`register`: each patient's raw files, their digests and facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nephroscale.engine.raw_cache import raw_paths
from nephroscale.engine.stage import PlanView, Stage
from nephroscale.slides.readers.registry import READERS
from nephroscale.stages.patients import prepared_patients

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.cohort.image import Image
    from nephroscale.engine.job import Job
    from nephroscale.settings import Settings


class Register(Stage):
    """One job per patient. Its inputs are raw files, which no stage makes."""

    name = "register"
    rule = "register_patient"
    pattern = "{patient}"
    suffix = ".facts.json"

    def units(self, plan: PlanView) -> list[str]:
        return list(dict.fromkeys([*plan.patients, *plan.segmentation_patients, *prepared_patients(plan)]))

    def new_units(self, plan: PlanView) -> list[str]:
        return plan.new_patients

    def rows(self, plan: PlanView, unit: str) -> object:
        return {image.id: image.row().to_mapping() for image in plan.cohort.images_of(unit)}

    def files(self, plan: PlanView, unit: str) -> dict[str, str] | None:
        digests: dict[str, str] = {}
        for name, path in raw_paths(self.raw(plan, unit)).items():
            digest = plan.raw_cache.quickly(path)
            if digest is None:
                return None
            digests[name] = digest
        return digests

    def modules(self, plan: PlanView, unit: str) -> tuple[str, ...]:
        return tuple(READERS.values())  # registering finds out which reader takes a file

    def raw(self, plan: PlanView, unit: str) -> list[Image]:
        return plan.cohort.images_of(unit)

    def make(self, job: Job[Settings]) -> Mapping[str, object]:
        from nephroscale.slides.register import RawImage, register_images

        figures, parts = register_images(
            {i.id: RawImage(job.raw(i), i.row(), *job.raw_digests(i)) for i in job.images()}, job.out
        )
        job.parts.update(parts)
        return figures


STAGE = Register()
