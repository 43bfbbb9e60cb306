"""`glomeruli`: contours and crops of each OM and IM image.

The artifact of an image is a folder: the contours `glomeruli.geojson`, the crops (Zarr group `crops`) and the picture
`overlay.png`. The contours come from one of four sources, the first that applies:

- `roi: whole` in the table of images: the field is the glomerulus;
- outlines by a person (column `annotation`), which replace the detection;
- the network of the stage `segmenter` (OM) or `segmenter_im`, if the cohort has one and it knows the stain or marker;
- the classical detector.

A job reads the tiles, the facts and the row of the image, and the outlines or the weights of the segmenter; with
`keep: coordinates` also the raw file. It calls `glomeruli.glomeruli.find_glomeruli`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nephroscale.engine.stage import Need, PlanView, Stage, need
from nephroscale.glomeruli.settings import DetectionSettings
from nephroscale.stages.tile_pixels import pixel_modules, read_from_slide

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.cohort.image import Image
    from nephroscale.engine.job import Job


class Glomeruli(Stage):
    """One job per OM or IM image of a patient in the folds, an external or a new patient."""

    name = "glomeruli"
    rule = "find_glomeruli"
    pattern = "{image}"
    torch = True
    keeps_process = True

    def units(self, plan: PlanView) -> list[str]:
        return [image.id for patient in plan.patients for image in plan.images(patient, "OM", "IM")]

    def new_units(self, plan: PlanView) -> list[str]:
        return [image.id for patient in plan.new_patients for image in plan.images(patient, "OM", "IM")]

    @need("tiles")
    def tiles(self, plan: PlanView, unit: str) -> Need:
        """The slide's pyramid."""
        return Need("tiles", unit)

    @need("register")
    def facts(self, plan: PlanView, unit: str) -> Need:
        """The facts of the image, the digest of its raw file among them."""
        return Need("register", plan.cohort.images[unit].patient_id, part=unit)

    @need("register")
    def outlines(self, plan: PlanView, unit: str) -> Need | None:
        """The registered outlines of a slide that a person has corrected."""
        image = plan.cohort.images[unit]
        return Need("register", image.patient_id, part=f"{unit}.annotation") if _corrected(image) else None

    @need("segmenter", "segmenter_im")
    def segmenter(self, plan: PlanView, unit: str) -> Need | None:
        """The trained segmenter of the modality, for images whose glomeruli are to be detected, if there is one.

        Without that for IM, because its outlines cannot be used, the classical detector searches.
        """
        image = plan.cohort.images[unit]
        return (
            Need(_segmenter_of(image), "cohort", optional=image.modality == "IM") if _by_network(plan, image) else None
        )

    def settings(self, plan: PlanView, unit: str) -> DetectionSettings:
        """The keys of `glomeruli` that this class declares; the classes only where a person outlined the slide."""
        settings = plan.config.glomeruli.narrow(DetectionSettings)
        # Classes are those of a person's outlines: they change nothing where there are none.
        return settings if _corrected(plan.cohort.images[unit]) else replace(settings, classes={})

    def modules(self, plan: PlanView, unit: str) -> tuple[str, ...]:
        """The detectors that may run, and the reader of the slide if its tiles have no pixels."""
        image = plan.cohort.images[unit]
        pixels = pixel_modules(plan, [image])
        if image.roi == "whole" or _corrected(image):
            return pixels
        classical = "nephroscale.glomeruli.classical"  # also where the segmenter knows no slide of that stain
        return (*pixels, *(["nephroscale.glomeruli.unet"] if _by_network(plan, image) else []), classical)

    def rows(self, plan: PlanView, unit: str) -> object:
        """The image's row in the table of images, without path and labels."""
        return plan.cohort.images[unit].row().to_mapping()

    def raw(self, plan: PlanView, unit: str) -> list[Image]:
        """The image, if its outlines (a raw file, too) or the slide itself are read."""
        image = plan.cohort.images[unit]
        return [image] if _corrected(image) or read_from_slide(plan, [image]) else []

    def make(self, job: Job[DetectionSettings]) -> Mapping[str, object]:
        """Find the glomeruli of the image, or take them from its outlines, and cut the crops."""
        from nephroscale.glomeruli.glomeruli import find_glomeruli

        segmenter = job.optional_input("segmenter")
        image = job.plan.cohort.images[job.unit]
        weights = segmenter.path if segmenter else None
        annotation = job.annotation(image) if _corrected(image) else None
        slide = job.facts(image.id).digest
        return find_glomeruli(
            job.input("tiles").object,
            weights,
            image.row(),
            job.settings,
            job.out,
            slide,
            annotation,
            raw=job.raw(image) if read_from_slide(job.plan, [image]) else None,
        )


def _corrected(image: Image) -> bool:
    """Whether a person's outlines replace the detection; one glomerulus fills a whole field, so it needs none."""
    return image.annotation is not None and image.roi != "whole"


def _by_network(plan: PlanView, image: Image) -> bool:
    """Whether a segmenter finds the glomeruli."""
    return image.roi != "whole" and not _corrected(image) and bool(plan.units(_segmenter_of(image)))


def _segmenter_of(image: Image) -> str:
    """The stage whose network searches images of this modality."""
    return "segmenter" if image.modality == "OM" else "segmenter_im"


STAGE = Glomeruli()
