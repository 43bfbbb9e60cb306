"""Settings of optical (OM) and immunofluorescence (IM) microscopy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nephroscale.settings import Settings, setting

_MPP = (
    "Scale of the tiles, µm per pixel. A slide that is coarser by up to 5 % keeps its own scale; a coarser one is "
    "rejected."
)
_TISSUE_MPP = "Scale at which tissue is found, µm per pixel."
_TISSUE_FRACTION = "Fraction of a tile that has to be tissue for the tile to be kept."


@dataclass(frozen=True)
class TilingSettings(Settings):
    """How a slide becomes a pyramid of tiles."""

    mpp: float = setting(_MPP, 0.5, above=0)
    tile_px: int = setting("Side of a tile in pixels.", 256, multiple_of=64, minimum=64)
    tissue_mpp: float = setting(_TISSUE_MPP, 8.0, above=0)
    tissue_fraction: float = setting(_TISSUE_FRACTION, 0.1, minimum=0, maximum=1)
    max_unreadable_fraction: float = setting(
        "Largest fraction of a slide's tiles that may be unreadable; a slide above it is rejected.",
        0.25,
        was="maximum_unreadable",
        minimum=0,
        maximum=1,
    )
    max_pen_fraction: float = setting(
        "Largest fraction of a tile that a pen mark may cover; a tile above it is left out, with the reason in "
        "`tiles.csv`.",
        0.5,
        minimum=0,
        maximum=1,
    )
    min_focus: float = setting(
        "Smallest focus of a tile (sharp tissue: above 0.45; out of focus: below 0.36); tiles below it are left out, "
        "with the reason in `tiles.csv`. The default leaves none out.",
        0.0,
        minimum=0,
        maximum=1,
    )
    keep: Literal["pixels", "coordinates"] = setting(
        "What is stored of the tiles: their `pixels`, or only `coordinates` (the tile table and the parameters of the "
        "normalisation). With `coordinates`, the stages that read pixels read the slide again, with identical "
        "results. This takes almost no disk space, but the raw files have to stay, and these stages take longer.",
        "pixels",
    )
    codec: Literal["zstd", "lz4"] = setting(
        "How pixels are compressed, without loss: `zstd` (level 1), or `lz4` (in Blosc, with shuffled bits), which "
        "takes less time and more disk.",
        "zstd",
    )


@dataclass(frozen=True)
class OmTilingSettings(TilingSettings):
    """How an OM slide becomes a normalised pyramid of tiles."""

    normalisation: Literal["macenko", "vahadane", "reinhard", "none"] = setting(
        "Stain normalisation, fitted once per slide. `vahadane` needs a reference that was fitted with it.", "macenko"
    )
    max_fold_fraction: float = setting(
        "Largest fraction of a tile that a fold of the tissue may cover; a tile above it is left out, with the "
        "reason in `tiles.csv`. The default leaves none out: dense epithelium may be taken for a fold.",
        1.0,
        minimum=0,
        maximum=1,
    )
    max_bubble_fraction: float = setting(
        "Largest fraction of a tile that tissue under an air bubble may cover; a tile above it is left out, with the "
        "reason in `tiles.csv`. The default leaves none out.",
        1.0,
        minimum=0,
        maximum=1,
    )
    max_clipped_fraction: float = setting(
        "Largest fraction of a slide's tissue that may be over- or underexposed (a channel clipped at 255 or 0); a "
        "slide above it is rejected.",
        0.5,
        minimum=0,
        maximum=1,
    )


@dataclass(frozen=True)
class OmSettings(OmTilingSettings):
    """Optical microscopy."""

    reference_file: str | None = setting(
        "JSON file of the reference stains, such as resources/stain/he.json. Without it, the reference is fitted on "
        "the OM slides of the patients set apart (`use: segmentation`). A slide whose stain has no reference keeps its "
        "colours.",
        None,
        was="reference",
    )
    stains: tuple[str, ...] = setting(
        "Stains that may be used, in order of preference: each patient enters with the first one available.",
        ("PASM", "PAS", "Masson", "HE"),
        min_items=1,
    )


@dataclass(frozen=True)
class ImTilingSettings(TilingSettings):
    """How an IM slide becomes a background-corrected pyramid of tiles."""

    tissue_mpp: float = setting(_TISSUE_MPP, 4.0, above=0)
    tissue_fraction: float = setting(_TISSUE_FRACTION, 0.05, minimum=0, maximum=1)
    background_um: float = setting(
        "Length scale of the background of a fluorescence image, µm; the background is estimated at this scale and "
        "subtracted.",
        100.0,
        above=0,
    )


@dataclass(frozen=True)
class ImSettings(ImTilingSettings):
    """Immunofluorescence microscopy."""

    panel: tuple[str, ...] = setting(
        "Markers that models read, each with its fixed slot in the bag. The CMUS-Net paper uses one marker.",
        ("IgG",),
        min_items=1,
    )
