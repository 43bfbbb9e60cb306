"""Register a patient's raw images: the facts of each, and whether it can be read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, NotRequired, TypedDict

from nephroscale.errors import Rejected
from nephroscale.slides.duplicates import IDENTITY
from nephroscale.slides.facts import ImageFacts, describe_image, write_facts
from nephroscale.store.digest import digest_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nephroscale.cohort.image import ImageRow


@dataclass(frozen=True)
class RawImage:
    """A raw image to register.

    Parameters
    ----------
    path
        Link to the raw file.
    row
        Row of the table of images.
    digest
        BLAKE3 of the raw bytes.
    annotation_digest
        BLAKE3 of the annotation's bytes; None where the image has no annotation.
    """

    path: Path
    row: ImageRow
    digest: str
    annotation_digest: str | None = None


class RegisterFigures(TypedDict):
    """Number of images; by image id the reasons of the rejected ones, scales that differ, and what else is doubtful.

    `stated_exposures` has the exposures that files state, ms, for images without one in the table.
    """

    images: int
    rejected_images: dict[str, str]
    differing_scales: dict[str, str]
    doubtful_images: dict[str, str]
    stated_exposures: NotRequired[dict[str, float]]


class Registered(NamedTuple):
    """Result of registering a patient.

    Attributes
    ----------
    figures
        Counts and rejections.
    parts
        Digest of the facts of each image, by image id, and of each annotation, by `<image id>.annotation`; under
        `.identity` the digest of what decides which images have the same content.
    """

    figures: RegisterFigures
    parts: dict[str, str]


def register_images(images: Mapping[str, RawImage], out: Path) -> Registered:
    """Write the facts of a patient's images.

    Parameters
    ----------
    images
        By image id.
    out
        JSON file to write (see :func:`nephroscale.slides.facts.read_facts`).
    """
    facts: dict[str, ImageFacts] = {}
    parts: dict[str, str] = {}
    rejected: dict[str, str] = {}
    for name, image in sorted(images.items()):
        try:
            described = describe_image(image.path, image.row)
        except Rejected as verdict:
            rejected[name] = verdict.reason
            described = ImageFacts.rejected(verdict.reason)
        facts[name] = replace(described, digest=image.digest)
        parts[name] = digest_json(facts[name].to_json())
        if image.annotation_digest:
            parts[f"{name}.annotation"] = image.annotation_digest
    parts[IDENTITY] = digest_json({name: one.identity for name, one in facts.items()})
    write_facts(out, facts)
    differing = {
        name: "; ".join([f"{one.scale} (used)", *map(str, one.other_scales)])
        for name, one in facts.items()
        if one.other_scales
    }
    figures: RegisterFigures = {
        "images": len(facts),
        "rejected_images": rejected,
        "differing_scales": differing,
        "doubtful_images": {name: "; ".join(one.doubts) for name, one in facts.items() if one.doubts},
    }
    stated = {
        name: one.exposure_ms for name, one in facts.items() if one.exposure_ms and not images[name].row.exposure_ms
    }
    if stated:
        figures["stated_exposures"] = stated
    return Registered(figures, parts)
