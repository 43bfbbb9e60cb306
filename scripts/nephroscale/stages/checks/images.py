"""Checks of the raw images by their headers; those that `register` knows are not opened again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from nephroscale.cohort.image import Image
from nephroscale.collect import grouped
from nephroscale.engine.plan import Plan
from nephroscale.errors import NephroscaleError
from nephroscale.slides.facts import ImageFacts
from nephroscale.slides.headers import describe_headers
from nephroscale.slides.slide_view import TOLERANCE
from nephroscale.stages.checks.configuration import SHOWN
from nephroscale.text import count_of, name_some


class Rejection(NamedTuple):
    """An image that a stage will reject, or has rejected.

    Attributes
    ----------
    image
        The image.
    reason, fix
        Why, and what to do.
    known
        Whether its stage has rejected it already, by its pixels or its header.
    """

    image: Image
    reason: str
    fix: str
    known: bool


def find_rejections(plan: Plan) -> list[Rejection]:
    """Find the images that will be rejected, as far as their headers and the tables show it."""
    images = [image for patient in plan.segmentation_patients for image in plan.images(patient, "OM")]
    images += [
        image for patient in [*plan.patients, *plan.new_patients] for image in plan.images(patient, *plan.modalities)
    ]
    facts = {
        name: ImageFacts.from_json(content)
        for patient in dict.fromkeys(image.patient_id for image in images)
        for name, content in (_registered(plan, patient) or {}).items()
    }
    unknown = {image.id: (image.path, image.row()) for image in images if image.id not in facts}
    facts |= describe_headers(unknown)
    found = []
    for image in images:
        if reason := facts[image.id].reason:
            fix = _fix_of_scale(plan, image) if "scale" in reason else "Copy the file again, or remove its row."
            found.append(Rejection(image, reason, fix, known=image.id not in unknown))
        elif reason := _too_coarse(plan, image, facts[image.id].mpp):
            fix = f"Use a finer scan, or raise {image.modality.lower()}.mpp."
            found.append(Rejection(image, reason, fix, known=plan.receipt("tiles", image.id) is not None))
    return found


def list_rejections(rejections: list[Rejection]) -> Iterator[NephroscaleError]:
    """Turn rejections into one warning for each reason, which names the images and their files."""
    for (reason, fix), found in grouped(((each.reason, each.fix), each) for each in rejections).items():
        yield NephroscaleError(
            f"{count_of(len(found), 'image')} will be rejected: {reason}.",
            where=name_some([f"{each.image.id} ({each.image.path})" for each in found], SHOWN),
            fix=fix,
        )


def _registered(plan: Plan, patient: str) -> dict[str, dict[str, object]] | None:
    """The facts of a patient's images, where `register` has made them from the files and rows as they are now."""
    if not plan.settled:  # without the pre-pass the receipt may be of other rows
        plan.raw_cache.budget = 0  # hash nothing
        plan.set_receipt("register", patient, plan.look_up(plan.stages["register"], patient))
    facts: dict[str, dict[str, object]] | None = plan.object_json("register", patient)
    return facts


def _too_coarse(plan: Plan, image: Image, mpp: float | None) -> str | None:
    needed = {"OM": plan.config.om.mpp, "IM": plan.config.im.mpp}.get(image.modality)
    if mpp is None or needed is None or image.roi == "whole" or mpp <= needed * (1 + TOLERANCE):
        return None
    return f"it is too coarse: {mpp:g} µm per pixel, but {needed:g} are needed"


def _fix_of_scale(plan: Plan, image: Image) -> str:
    column = "nm_per_px (or instrument and magnification)" if image.modality == "TEM" else "mpp"
    return f"Fill the column {column} in {plan.config.data.images}."
