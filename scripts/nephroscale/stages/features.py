"""`features`: one bag of feature maps for each patient and modality."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nephroscale.engine.stage import Need, Stage
from nephroscale.errors import NephroscaleError
from nephroscale.features.registry import modules_of

if TYPE_CHECKING:
    from nephroscale.engine.plan import Plan

#: The encoder's name where bags come from outside, as h5 files that CLAM or TRIDENT wrote.
H5 = "h5"


class Features(Stage):
    """One job a patient and modality."""

    name = "features"
    rule = "extract_features"
    pattern = "{patient}-{modality}"
    suffix = ".zarr"
    torch = True
    after = ("glomeruli", "tem")

    def units(self, plan: Plan) -> list[str]:
        return [f"{patient}-{modality}" for patient in plan.patients for modality in plan.modalities]

    def new_units(self, plan: Plan) -> list[str]:
        return [f"{patient}-{modality}" for patient in plan.new_patients for modality in plan.modalities]

    def needs(self, plan: Plan, unit: str) -> list[Need]:
        patient, modality = split(unit)
        if self._encoder(plan, unit)["name"] == H5:
            return []
        if modality == "TEM":
            return [Need("tem", patient)]
        return [Need("glomeruli", image.id, optional=True) for image in plan.images(patient, modality)]

    def settings(self, plan: Plan, unit: str) -> Any:
        modality = split(unit)[1]
        settings = {k: v for k, v in plan.config["features"].items() if k not in {"encoders", "om_glomeruli"}}
        settings["encoders"] = {modality: {k: v for k, v in self._encoder(plan, unit).items() if k != "weights"}}
        if modality == "OM":
            settings |= {"om_glomeruli": plan.config["features"]["om_glomeruli"], "stains": plan.config["om"]["stains"]}
        if modality == "IM":
            settings["panel"] = plan.config["im"]["panel"]
        return settings

    def rows(self, plan: Plan, unit: str) -> Any:
        patient, modality = split(unit)
        return {
            "patient": patient,
            "modality": modality,
            "images": {image.id: image.row() for image in plan.images(patient, modality)},
        }

    def modules(self, plan: Plan, unit: str) -> tuple[str, ...]:
        encoder = self._encoder(plan, unit)
        return () if encoder["name"] == H5 else tuple(modules_of(encoder))

    def files(self, plan: Plan, unit: str) -> dict[str, str] | None:
        encoder = self._encoder(plan, unit)
        if encoder["name"] == H5:
            path = Path(encoder["weights"] or "") / f"{split(unit)[0]}.h5"
            return {"h5": plan.raw_cache.digest(path) if path.is_file() else "absent"}
        if encoder["weights"] and not encoder["digest"]:
            raise NephroscaleError(
                "The weights of an encoder are named without their digest.",
                where=f"configuration, features.encoders.{split(unit)[1]}",
                todo="Add `digest:`; `nephroscale weights digest PATH` prints it.",
            )
        return {}

    def _encoder(self, plan: Plan, unit: str) -> dict[str, Any]:
        return plan.config["features"]["encoders"][split(unit)[1]]


def split(unit: str) -> tuple[str, str]:
    """Patient and modality of a unit."""
    patient, _, modality = unit.rpartition("-")
    return patient, modality


STAGE = Features()
