"""Stages that read the pixels of tiles: from the stored pyramid, or from the slide where `keep` is `coordinates`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nephroscale.slides.readers.registry import READERS
from nephroscale.slides.tile_status import SLIDE_PIXELS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nephroscale.cohort.image import Image
    from nephroscale.engine.stage import PlanView


def read_from_slide(plan: PlanView, images: Iterable[Image]) -> list[Image]:
    """The images whose tiles keep coordinates only."""
    tiling = {"OM": plan.config.om, "IM": plan.config.im}
    return [image for image in images if tiling[image.modality].keep == "coordinates"]


def pixel_modules(plan: PlanView, images: Iterable[Image]) -> tuple[str, ...]:
    """The modules that read the pixels of these images' tiles from the slides; none where all are stored."""
    found = read_from_slide(plan, images)
    facts = [(plan.object_json("register", image.patient_id) or {}).get(image.id, {}) for image in found]
    readers = sorted({READERS[each["reader"]] for each in facts if each.get("reader") in READERS})
    return (SLIDE_PIXELS, *readers) if found else ()
