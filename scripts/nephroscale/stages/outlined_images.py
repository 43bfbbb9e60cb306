"""The outlined images of the patients set apart, on which the segmenters are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nephroscale.cohort.image import Image
    from nephroscale.engine.stage import PlanView


def outlined_images(plan: PlanView, modality: str, patients: Iterable[str] | None = None) -> list[Image]:
    """The images with outlines, of all patients set apart or of some; in IM without those that one glomerulus fills."""
    return [
        image
        for patient in (plan.segmentation_patients if patients is None else patients)
        for image in plan.images(patient, modality)
        if image.annotation and (modality == "OM" or image.roi != "whole")
    ]


def trains_on_im(plan: PlanView) -> bool:
    """Whether a segmenter is trained for IM: enough images are outlined, and the method is not `classical`."""
    settings = plan.config.glomeruli
    return settings.method != "classical" and len(outlined_images(plan, "IM")) >= settings.min_im_images
