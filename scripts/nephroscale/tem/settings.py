"""Settings of transmission electron microscopy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nephroscale.settings import Settings, setting


@dataclass(frozen=True)
class TemSettings(Settings):
    """Transmission electron microscopy."""

    instance: Literal["image", "patch"] = setting(
        "An instance of the bag is a whole image (as in the CMUS-Net paper) or a patch of it.", "image"
    )
    size_px: int = setting("Side of an instance in pixels.", 224, minimum=32)
    nm_per_px: float = setting("Scale of patches, nm per pixel.", 8.0, above=0)
    patch_um: float = setting(
        "Smallest field of a patch, µm; patches are cut at nm_per_px and at least this wide, then scaled to size_px, "
        "but never enlarged more than 1.5 times.",
        3.5,
        above=0,
    )
    max_patches: int = setting(
        "Largest number of patches of one image; more are reduced to this number, evenly over the image.",
        64,
        was="maximum_patches",
        minimum=1,
    )
    remove_marks: bool = setting(
        "Whether scale bars, text and arrows drawn on an image are removed, in any colour.",
        default=True,
        was="burned_in",
    )
    mark_network: bool = setting(
        "Whether a small network, too, looks for grey text, thin and dashed lines and half-transparent marks, of which "
        "the other searches miss most (docs/tem.md).",
        default=True,
    )
    even_illumination: bool = setting(
        "Whether a smooth gradient of brightness over the image is evened, by a factor of at most 1.3.", default=True
    )
    max_empty_fraction: float = setting(
        "Largest fraction of an image or patch without tissue (empty resin, holes, grid bars). An image or patch above "
        "it is left out.",
        0.8,
        minimum=0,
        maximum=1,
    )
    min_sharpness: float = setting(
        "Smallest sharpness of an image (attribute `quality` of the stage, docs/tem.md); images below it are rejected. "
        "0 rejects none.",
        0.0,
        minimum=0,
    )
    max_drift: float = setting(
        "Largest measure of drift of an image, from 0 to 1; images above it are rejected. 1 rejects none.",
        1.0,
        minimum=0,
        maximum=1,
    )
    max_knife_marks: float = setting(
        "Largest measure of knife marks of an image, from 0 to 1; images above it are rejected. 1 rejects none.",
        1.0,
        minimum=0,
        maximum=1,
    )
    prior: Literal["none", "deposits"] = setting(
        "What multiplies SMIL's weights of TEM images: nothing (`none`), or the probability of deposits from an SVM "
        "that is fitted on each fold's training patients (column `deposits` of the table of images).",
        "none",
    )
    max_marked_fraction: float = setting(
        "Largest fraction of an image that marks may cover; images above it are rejected.",
        0.3,
        minimum=0,
        maximum=0.9,
    )
