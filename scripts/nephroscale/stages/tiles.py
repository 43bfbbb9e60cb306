"""`tiles`: a normalised pyramid of each OM and IM image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nephroscale.engine.stage import Need, Stage
from nephroscale.errors import NephroscaleError
from nephroscale.slides.readers.registry import READERS
from nephroscale.store.digest import digest_file

if TYPE_CHECKING:
    from nephroscale.cohort.tables import Image
    from nephroscale.engine.plan import Plan


class Tiles(Stage):
    """One job an OM or IM image."""

    name = "tiles"
    rule = "tile_slide"
    pattern = "{image}"
    suffix = ".ome.zarr"
    after = ("register", "reference")

    def units(self, plan: Plan) -> list[str]:
        apart = [image for patient in plan.segmentation_patients for image in plan.images(patient, "OM")]
        others = [i for patient in plan.patients for m in ("OM", "IM") for i in plan.images(patient, m)]
        return [image.id for image in [*apart, *others]]

    def new_units(self, plan: Plan) -> list[str]:
        return [i.id for patient in plan.new_patients for m in ("OM", "IM") for i in plan.images(patient, m)]

    def needs(self, plan: Plan, unit: str) -> list[Need]:
        image = plan.cohort.images[unit]
        needs = [Need("register", image.patient_id, image.id)]
        if image.modality == "OM" and plan.units("reference"):
            needs.append(Need("reference", "cohort", optional=True))
        return needs

    def settings(self, plan: Plan, unit: str) -> Any:
        settings = dict(plan.config[plan.cohort.images[unit].modality.lower()])
        for key in ("stains", "panel"):  # who takes part, not how a slide is tiled
            settings.pop(key, None)
        return settings

    def rows(self, plan: Plan, unit: str) -> Any:
        return plan.cohort.images[unit].row()

    def modules(self, plan: Plan, unit: str) -> tuple[str, ...]:
        facts = plan.object_json("register", plan.cohort.images[unit].patient_id)
        reader = facts[unit].get("reader") if facts else None
        return (READERS[reader],) if reader in READERS else ()

    def files(self, plan: Plan, unit: str) -> dict[str, str] | None:
        reference = reference_file(plan, unit)
        return {"reference": digest_file(reference)} if reference else {}

    def raw(self, plan: Plan, unit: str) -> list[Image]:
        return [plan.cohort.images[unit]]


def reference_file(plan: Plan, unit: str) -> Path | None:
    """The file of reference stains that the configuration names for an OM image, if it names one."""
    om = plan.config["om"]
    if plan.cohort.images[unit].modality != "OM" or om["reference"] == "cohort" or om["normalisation"] == "none":
        return None
    path = Path(om["reference"])
    if not path.is_file():
        raise NephroscaleError(
            f"The reference stains {path} are not there.",
            where="configuration, om.reference",
            todo="Name a JSON file such as resources/stain/he.json, or `cohort`.",
        )
    return path


STAGE = Tiles()
