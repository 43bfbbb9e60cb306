"""`register`: the digests and facts of each patient's raw files.

The artifact of a patient is a JSON file, ``{image id: facts}``: format, size, pixel type, scale and perceptual hash of
each image, or the reason for which it is rejected (docs/dataflow.md lists the keys). Its parts are the facts of each
image, the digest of each file of outlines (``<image>.annotation``) and ``.identity``, by which `folds` finds copies. It
is in the store; the link ``<results>/register/<patient>.facts.json`` leads to it.

A job reads the raw files of the patient, and hashes those and the outlines whose digests are not known. Their rows in
the table of images are in the recipe. It calls `slides.register.register_images`.
"""

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
        """Eligible patients for diagnosis, external ones and those set apart.

        With `deposits.sites`, the patients whose TEM images have readings of deposits are among them, too.
        """
        return list(dict.fromkeys([*plan.patients, *plan.segmentation_patients, *prepared_patients(plan)]))

    def new_units(self, plan: PlanView) -> list[str]:
        """New patients; the target `register` leaves them out, `predict` makes them."""
        return plan.new_patients

    def rows(self, plan: PlanView, unit: str) -> object:
        """The rows of all images of the patient, without paths and labels."""
        return {image.id: image.row().to_mapping() for image in plan.cohort.images_of(unit)}

    def files(self, plan: PlanView, unit: str) -> dict[str, str] | None:
        """The digests of the raw files and of the outlines in the column `annotation`.

        Paths do not count. None while a digest is not known: the job hashes the file.
        """
        digests: dict[str, str] = {}
        for name, path in raw_paths(self.raw(plan, unit)).items():
            digest = plan.raw_cache.quickly(path)
            if digest is None:
                return None
            digests[name] = digest
        return digests

    def modules(self, plan: PlanView, unit: str) -> tuple[str, ...]:
        """The modules of all readers: registering finds out which of them opens a file."""
        return tuple(READERS.values())  # registering finds out which reader takes a file

    def raw(self, plan: PlanView, unit: str) -> list[Image]:
        """All images of the patient, those that no model reads among them."""
        return plan.cohort.images_of(unit)

    def make(self, job: Job[Settings]) -> Mapping[str, object]:
        """Write the facts of the images.

        A file that cannot be read is rejected as an image, with the reason among its facts. The patient is never
        rejected.
        """
        from nephroscale.slides.register import RawImage, register_images

        figures, parts = register_images(
            {i.id: RawImage(job.raw(i), i.row(), *job.raw_digests(i)) for i in job.images()}, job.out
        )
        job.parts.update(parts)
        return figures


STAGE = Register()
