"""Warnings about a prediction: missing modalities, and images outside the range of the training images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nephroscale.slides.facts import ImageFacts

SLACK = 1.25
"""Factor by which a scale or field may exceed the range of the training images without a warning."""

Ranges: TypeAlias = "dict[str, dict[str, tuple[float, float]]]"
"""Modality to quantity to its range: `scale` in µm (OM, IM) or nm (TEM) per pixel, `field` of TEM in µm."""


class ImageExtent(NamedTuple):
    """Scale and field of one image.

    Attributes
    ----------
    modality
        `OM`, `IM` or `TEM`.
    scale
        µm per pixel (OM, IM) or nm per pixel (TEM); None where unknown.
    width
        Pixels.
    whole
        Whether the image is a field that one glomerulus fills, which needs no scale.
    rejection
        Why the image was rejected; None for an accepted image.
    """

    modality: str
    scale: float | None = None
    width: int = 0
    whole: bool = False
    rejection: str | None = None

    @classmethod
    def from_facts(cls, modality: str, facts: ImageFacts) -> Self:
        """Take scale and field from the facts that `register` has found."""
        if facts.status == "rejected":
            return cls(modality, rejection=str(facts.reason))
        scale = facts.scale
        value = scale.value if scale and scale.value else None
        return cls(modality, value, facts.width, scale is not None and scale.source == "whole")

    @property
    def quantities(self) -> dict[str, float]:
        """The quantities that are compared with the training images."""
        if self.scale is None or self.whole:
            return {}
        return {"scale": self.scale} | ({"field": self.scale * self.width / 1000} if self.modality == "TEM" else {})


def known_ranges(images: Iterable[ImageExtent]) -> Ranges:
    """Find the range of each quantity over the images of the patients in the folds; rejected images are skipped."""
    found: Ranges = {}
    for image in images:
        for quantity, value in image.quantities.items():
            low, high = found.setdefault(image.modality, {}).get(quantity, (math.inf, -math.inf))
            found[image.modality][quantity] = (min(low, value), max(high, value))
    return found


def list_warnings(
    missing: Mapping[str, str], images: Mapping[str, ImageExtent], ranges: Ranges, pattern_only: Iterable[str]
) -> list[str]:
    """List the warnings about a patient's images, one sentence each.

    Parameters
    ----------
    missing
        Modality to the reason why the patient lacks it.
    images
        Image id to image.
    ranges
        Ranges of the training images, from :func:`known_ranges`.
    pattern_only
        Ids of the fluorescence images with unknown exposure.
    """
    warnings = [f"{modality} is missing: {reason}" for modality, reason in missing.items()]
    for name, image in images.items():
        if image.rejection is not None:
            warnings.append(f"{name} was rejected: {image.rejection}")
            continue
        known = ranges.get(image.modality, {})
        for quantity, value in image.quantities.items():
            low, high = known.get(quantity, (value, value))
            if not low / SLACK <= value <= high * SLACK:
                unit = _unit(image.modality, quantity)
                warnings.append(f"{name} is {value:.3g} {unit}; training images are {low:.3g} to {high:.3g}")
        if "scale" in known and image.scale is None and not image.whole:
            warnings.append(f"{name} has no known scale")
    return warnings + [
        f"{name} is pattern-only: its exposure is unknown, so its intensity is not comparable" for name in pattern_only
    ]


def _unit(modality: str, quantity: str) -> str:
    if quantity == "field":
        return "µm wide"
    return "nm per pixel" if modality == "TEM" else "µm per pixel"
