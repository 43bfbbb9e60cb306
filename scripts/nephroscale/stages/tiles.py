"""`tiles`: a normalised pyramid of each OM and IM image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nephroscale.engine.stage import Need, PlanView, Stage, need
from nephroscale.errors import NephroscaleError
from nephroscale.slides.readers.registry import READERS
from nephroscale.slides.settings import ImTilingSettings, OmTilingSettings
from nephroscale.store.digest import digest_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.cohort.image import Image
    from nephroscale.engine.job import Job


class Tiles(Stage):
    """One job per OM or IM image."""

    name = "tiles"
    rule = "tile_slide"
    pattern = "{image}"
    suffix = ".ome.zarr"

    def units(self, plan: PlanView) -> list[str]:
        set_apart = [image for patient in plan.segmentation_patients for image in plan.images(patient, "OM")]
        of_patients = [image for patient in plan.patients for image in plan.images(patient, "OM", "IM")]
        return [image.id for image in [*set_apart, *of_patients]]

    def new_units(self, plan: PlanView) -> list[str]:
        return [image.id for patient in plan.new_patients for image in plan.images(patient, "OM", "IM")]

    @need("register")
    def facts(self, plan: PlanView, unit: str) -> Need:
        """The slide's part of the patient's facts: changes of other slides do not rerun the job."""
        return Need("register", plan.cohort.images[unit].patient_id, part=unit)

    @need("reference")
    def reference(self, plan: PlanView, unit: str) -> Need | None:
        """The fitted stains for OM slides, where the cohort has them; without a reference slides keep their colours."""
        is_om = plan.cohort.images[unit].modality == "OM"
        return Need("reference", "cohort", optional=True) if is_om and plan.units("reference") else None

    def settings(self, plan: PlanView, unit: str) -> OmTilingSettings | ImTilingSettings:
        if plan.cohort.images[unit].modality == "OM":
            return plan.config.om.narrow(OmTilingSettings)
        return plan.config.im.narrow(ImTilingSettings)

    def rows(self, plan: PlanView, unit: str) -> object:
        return plan.cohort.images[unit].row().to_mapping()

    def modules(self, plan: PlanView, unit: str) -> tuple[str, ...]:
        facts = plan.object_json("register", plan.cohort.images[unit].patient_id)
        reader = facts[unit].get("reader") if facts else None
        return (READERS[reader],) if reader in READERS else ()

    def files(self, plan: PlanView, unit: str) -> dict[str, str] | None:
        settings = self.settings(plan, unit)
        if (
            not isinstance(settings, OmTilingSettings)
            or not settings.reference_file
            or settings.normalisation == "none"
        ):
            return {}
        path = Path(settings.reference_file)
        if not path.is_file():
            raise NephroscaleError(
                f"The file of reference stains {path} does not exist.",
                where="configuration, om.reference_file",
                fix="Name a JSON file such as resources/stain/he.json, or leave the key out.",
            )
        return {"reference": digest_file(path)}

    def raw(self, plan: PlanView, unit: str) -> list[Image]:
        return [plan.cohort.images[unit]]

    def make(self, job: Job) -> Mapping[str, object]:
        from nephroscale.slides.reference import read_reference
        from nephroscale.slides.tiles import tile_slide

        (image,) = job.images()
        settings = job.settings
        assert isinstance(settings, OmTilingSettings | ImTilingSettings)
        references = None
        if isinstance(settings, OmTilingSettings):
            fitted = job.optional_input("reference")
            references = read_reference(fitted.path if fitted else None, settings)
        facts = job.readable_facts(image.id)
        return tile_slide(job.raw(image), facts, image.row(), settings, references, job.out, threads=job.threads)


STAGE = Tiles()
