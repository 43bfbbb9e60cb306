"""Settings of glomerulus segmentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nephroscale.glomeruli.classes import DEFAULT_CLASSES, Kind
from nephroscale.settings import Settings, section, setting

_MPP = "Scale of segmentation, µm per pixel."


@dataclass(frozen=True)
class UNetSettings(Settings):
    """The U-Net that segments glomeruli, and its training."""

    width: int = setting("Channels of the first level.", 16, was="glomeruli.width", minimum=4)
    steps: int = setting("Training steps.", 900, was="glomeruli.steps", minimum=1)
    batch_size: int = setting("Patches in a training step.", 8, was="glomeruli.batch", minimum=1)
    learning_rate: float = setting(
        "Largest learning rate. Fewer steps may need a higher one.",
        0.003,
        above=0,
    )
    patch_px: int = setting(
        "Side of a training patch in pixels at the scale of segmentation.",
        128,
        was="glomeruli.patch_px",
        multiple_of=16,
    )


@dataclass(frozen=True)
class OutlineSettings(Settings):
    """Which outlines that a person drew count as glomeruli."""

    classes: Mapping[str, Kind] = setting(
        "Meaning of each class name in an annotation file. A class matches if it contains all words of the name in "
        "sequence, without a negation or a word for something other than a glomerulus. `annotated area` is an area in "
        "which every glomerulus is outlined; outside such areas nothing is known. `other` is left out without a "
        "message.",
        DEFAULT_CLASSES,
    )
    min_diameter_um: float = setting(
        "Contours and outlines smaller than a disc of this diameter are dropped. The U-Net also drops those smaller "
        "than 0.8 times the smallest outline that it was trained on, if there were at least five.",
        60.0,
        was="minimum_diameter_um",
        above=0,
    )
    max_diameter_um: float = setting(
        "Contours and outlines larger than a disc of this diameter are dropped.",
        400.0,
        was="maximum_diameter_um",
        above=0,
    )


@dataclass(frozen=True)
class SegmenterSettings(OutlineSettings):
    """How the segmenter is trained."""

    mpp: float = setting(_MPP, 2.0, above=0)
    unet: UNetSettings = section(UNetSettings)


@dataclass(frozen=True)
class DetectionSettings(OutlineSettings):
    """How glomeruli are found in a slide and cut out."""

    method: Literal["auto", "unet", "classical"] = setting(
        "`auto` uses the U-Net if patients with outlines are set apart, otherwise the classical detector. For IM see "
        "`min_im_images`.",
        "auto",
    )
    mpp: float = setting(_MPP, 2.0, above=0)
    threshold: float = setting("Smallest probability at which a pixel counts as glomerulus.", 0.5, minimum=0, maximum=1)
    crop_um: float = setting("Side of a glomerulus crop, µm.", 256.0, above=0)
    crop_px: int = setting("Side of a glomerulus crop, pixels.", 224, minimum=32)
    crop_sclerosed: bool = setting(
        "Whether sclerosed glomeruli are among the crops that models read. They are outlined and counted anyway.",
        default=True,
    )


@dataclass(frozen=True)
class GlomeruliSettings(DetectionSettings):
    """Finding glomeruli and cutting them out."""

    unet: UNetSettings = section(UNetSettings)
    min_im_images: int = setting(
        "Number of outlined IM images of patients set apart from which a U-Net is trained for IM. With fewer, the "
        "classical detector searches IM images.",
        8,
        minimum=1,
    )
    check_folds: int = setting(
        "Number of folds of the patients set apart (at most one per patient), to test the segmenter. For each fold, "
        "the segmenter is trained once more without its patients and applied to their slides; the report gives the "
        "results, with intervals. Only the report waits for this test. With 0 there is no test.",
        5,
        minimum=0,
    )
