"""Glomeruli of one OM or IM image: outlines, crops and a picture of them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from shapely.geometry import Polygon

from nephroscale.arrays import write_arrays
from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.glomeruli.contours import Glomerulus, write_geojson
from nephroscale.glomeruli.crops import cut_crop, fit_whole
from nephroscale.glomeruli.instances import find_instances
from nephroscale.glomeruli.overlay import draw_overlay
from nephroscale.glomeruli.view import View
from nephroscale.slides.tile_reader import Tiles, open_tiles

if TYPE_CHECKING:
    from collections.abc import Callable

#: Module of each detector; it has `probability(view, weights, settings)`.
DETECTORS = {"unet": "nephroscale.glomeruli.unet", "classical": "nephroscale.glomeruli.classical"}


def choose_detector(modality: str, method: str, *, has_segmenter: bool) -> str:
    """Name the detector of an image: the U-Net knows stained sections alone.

    Parameters
    ----------
    modality
        OM or IM.
    method
        `glomeruli.method` of the configuration.
    has_segmenter
        Whether there are trained weights.

    Raises
    ------
    NephroscaleError
        When the U-Net is asked for and there are no weights.
    """
    if modality != "OM" or method == "classical":
        return "classical"
    if method == "unet" and not has_segmenter:
        raise NephroscaleError(
            "The U-Net has no weights.",
            where="configuration, glomeruli.method: unet",
            todo="Set patients with annotated OM slides apart (use: segmentation), or take `auto` or `classical`.",
        )
    return "unet" if has_segmenter else "classical"


def find_glomeruli(  # noqa: PLR0917  (the stage hands over what it needs, in the order of the contract)
    tiles: Path,
    segmenter: Path | None,
    facts: dict[str, Any],
    row: dict[str, Any],
    settings: dict[str, Any],
    out: Path,
) -> dict[str, Any]:
    """Find the glomeruli of an image and cut them out.

    Parameters
    ----------
    tiles
        OME-Zarr of the image.
    segmenter
        Folder by `train_segmenter`, or None.
    facts
        Facts of the image from `register.json`.
    row
        Its row of images.csv; `roi: whole` means that one glomerulus fills the image.
    settings
        The section `glomeruli` of the configuration.
    out
        Folder to create: `glomeruli.geojson`, `crops` (Zarr group), `overlay.png`.

    Returns
    -------
    dict
        `method`, `glomeruli`, `too_small`, `too_large`, and of the representative one `score`, `completeness` and
        `diameter_um` (None without a scale).

    Raises
    ------
    Rejected
        When no glomerulus is found, or the image has no scale to find one by.
    """
    opened = open_tiles(tiles)
    whole = row.get("roi") == "whole" or (facts.get("scale") or {}).get("source") == "whole"
    too_small = too_large = 0
    if whole:
        method, glomeruli = "whole", [_whole(opened)]
    else:
        if opened.mpp is None:
            raise Rejected("image has no scale, so glomeruli cannot be told by their size")
        method = choose_detector(opened.modality, settings["method"], has_segmenter=segmenter is not None)
        view = View.at_scale(opened, float(settings["mpp"]))
        detect: Callable[..., np.ndarray] = importlib.import_module(DETECTORS[method]).probability
        found = find_instances(view, detect(view, segmenter, settings), settings)
        glomeruli, too_small, too_large = found.glomeruli, found.too_small, found.too_large
        if not glomeruli:
            raise Rejected(
                f"no glomerulus found ({too_small} contours too small, {too_large} too large)",
                method=method,
                too_small=too_small,
                too_large=too_large,
            )
    size = int(settings["crop_px"])
    crops = [
        fit_whole(opened, size) if whole else cut_crop(opened, one.centre, float(settings["crop_um"]), size)
        for one in glomeruli
    ]
    out = Path(out)
    out.mkdir(parents=True)
    write_geojson(out / "glomeruli.geojson", glomeruli)
    arrays = {
        "crops": np.stack(crops),
        "score": np.asarray([one.score for one in glomeruli], np.float32),
        "centre": np.round(np.asarray([one.centre for one in glomeruli], np.float64), 2),
    }
    write_arrays(out / "crops", arrays, _attributes(opened, settings, whole=whole))
    draw_overlay(opened, glomeruli, out / "overlay.png")
    first = glomeruli[0]
    return {
        "method": method,
        "glomeruli": len(glomeruli),
        "too_small": too_small,
        "too_large": too_large,
        "score": round(first.score, 4),
        "completeness": round(first.completeness, 4),
        "diameter_um": None if first.diameter_um is None else round(first.diameter_um, 1),
    }


def _whole(tiles: Tiles) -> Glomerulus:
    """Take the whole image as one contour; how large the glomerulus in it is, is not known."""
    _, height, width = tiles.shape(0)
    x, y = tiles.origin
    right, bottom = x + width * tiles.scale, y + height * tiles.scale
    return Glomerulus(Polygon([(x, y), (right, y), (right, bottom), (x, bottom)]), 1.0, 1.0, None)


def _attributes(tiles: Tiles, settings: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    return {
        "modality": tiles.modality,
        "stain": tiles.stain,
        "calibration": tiles.calibration,
        "whole": whole,
        "um_per_px": None if whole else settings["crop_um"] / settings["crop_px"],
    }
