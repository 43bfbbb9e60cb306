"""`tiles`: a pyramid of each OM image, its stain normalised, and of each IM image, its background subtracted.

The artifact of an image is a folder, an OME-Zarr group: the pyramid, arrays `0`, `1`, ... [c, y, x] (OM uint8 RGB, IM
uint16 of one channel, scaled by exposure and gain or, without these, to the brightest tissue of the image), the label
image `labels/tissue` (at level 0 one pixel per tile: its status), the table of tiles `tiles.csv`, the quality figures
`qc.json`, `thumbnail.png` and `mask.png`. With `keep: coordinates` it has no pixels, but what is needed to read them
from the slide (for IM also the array `background`). docs/dataflow.md lists attributes and columns. The artifact is in
the store; the link ``<results>/tiles/<image>.ome.zarr`` leads to it.

A job reads the raw file of the image, its facts from `register`, for OM the stain reference from `reference` (or the
file `om.reference_file`), and the image's row in the table of images. It calls `slides.tiles.tile_slide`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nephroscale.engine.stage import Need, PlanView, Stage, need
from nephroscale.errors import NephroscaleError
from nephroscale.slides.readers.registry import READERS
from nephroscale.slides.settings import ImTilingSettings, OmTilingSettings
from nephroscale.stages.outlined_images import outlined_images, trains_on_im
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
        """OM images (stains of `om.stains`) and IM images (markers of `im.panel`).

        Of patients set apart (`use: segmentation`), the OM images, and, if these train a segmenter, the outlined IM
        images without those of `roi: whole`.
        """
        set_apart = [image for patient in plan.segmentation_patients for image in plan.images(patient, "OM")]
        set_apart += outlined_images(plan, "IM") if trains_on_im(plan) else []
        of_patients = [image for patient in plan.patients for image in plan.images(patient, "OM", "IM")]
        return [image.id for image in [*set_apart, *of_patients]]

    def new_units(self, plan: PlanView) -> list[str]:
        """The same images of new patients; the target `tiles` leaves them out, `predict` makes them."""
        return [image.id for patient in plan.new_patients for image in plan.images(patient, "OM", "IM")]

    @need("register")
    def facts(self, plan: PlanView, unit: str) -> Need:
        """The facts of this image alone, the digest of its raw file among them: other images do not rerun the job.

        `register` rejects single images, never a patient.
        """
        return Need("register", plan.cohort.images[unit].patient_id, part=unit)

    @need("reference")
    def reference(self, plan: PlanView, unit: str) -> Need | None:
        """The fitted stain reference, for OM images, if it was not rejected.

        The stage `reference` has no unit if the configuration names a file of reference stains, which is read instead
        (:meth:`files`), or switches normalisation off, or if no patient set apart has an OM image. With
        `predict.package`, the reference is the package's. An image without a reference for its stain keeps its colours.
        """
        is_om = plan.cohort.images[unit].modality == "OM"
        return Need("reference", "cohort", optional=True) if is_om and plan.units("reference") else None

    def settings(self, plan: PlanView, unit: str) -> OmTilingSettings | ImTilingSettings:
        """The keys of `om` or `im` that these classes declare (slides/settings.py).

        `om.stains` and `im.panel` choose the units. Of `om.reference_file` the content counts (:meth:`files`).
        """
        if plan.cohort.images[unit].modality == "OM":
            return plan.config.om.narrow(OmTilingSettings)
        return plan.config.im.narrow(ImTilingSettings)

    def rows(self, plan: PlanView, unit: str) -> object:
        """The image's row in the table of images, without path and labels."""
        return plan.cohort.images[unit].row().to_mapping()

    def modules(self, plan: PlanView, unit: str) -> tuple[str, ...]:
        """The module of the reader that opens the raw file, as `register` found it; none for a rejected image.

        Readers are imported by name, so this names the code that counts in the recipe.
        """
        facts = plan.object_json("register", plan.cohort.images[unit].patient_id)
        reader = facts[unit].get("reader") if facts else None
        return (READERS[reader],) if reader in READERS else ()

    def files(self, plan: PlanView, unit: str) -> dict[str, str] | None:
        """The digest of the file `om.reference_file`, for OM images that are normalised, if there is one."""
        om = plan.config.om
        if plan.cohort.images[unit].modality != "OM" or not om.reference_file or om.normalisation == "none":
            return {}
        path = Path(om.reference_file)
        if not path.is_file():
            raise NephroscaleError(
                f"The file of reference stains {path} does not exist.",
                where="configuration, om.reference_file",
                fix="Name a JSON file such as resources/stain/he.json, or leave the key out.",
            )
        return {"reference": digest_file(path)}

    def raw(self, plan: PlanView, unit: str) -> list[Image]:
        """The image itself: its raw file is read.

        A file that is missing (the checks before any job report it), or is no longer the one that was registered, is an
        error, not a rejection, even if `register` rejected the image.
        """
        return [plan.cohort.images[unit]]

    def make(self, job: Job[OmTilingSettings | ImTilingSettings]) -> Mapping[str, object]:
        """Tile the raw file by the facts (input `facts`), the row, the settings and the stain references.

        An image that `register` rejected is rejected here, with the same reason. Other reasons are, for example, absent
        tissue, a coarse scale, a poor focus, many unreadable tiles, exposure (OM), or several dyes (IM). Where
        the method of `om.normalisation` cannot be fitted, Reinhard's is used, or none; the receipt names the one that
        was used (`identity` for none).
        """
        from nephroscale.slides.reference import read_reference
        from nephroscale.slides.tiles import tile_slide

        (image,) = job.images()
        settings = job.settings
        references = None
        if isinstance(settings, OmTilingSettings) and settings.normalisation != "none":
            fitted, named = job.optional_input("reference"), job.plan.config.om.reference_file
            path = Path(named) if named else fitted.path if fitted else None
            references = read_reference(path) if path else None
        return tile_slide(
            job.raw(image),
            job.readable_facts(image.id),
            image.row(),
            settings,
            references,
            job.out,
            threads=job.threads,
        )


STAGE = Tiles()
