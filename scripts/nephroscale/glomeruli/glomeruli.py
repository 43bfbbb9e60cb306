"""Glomeruli of one OM or IM image: outlines, crops and an overlay."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import TYPE_CHECKING, NotRequired, Protocol, TypedDict, cast

import numpy as np
from shapely.geometry import Polygon

from nephroscale.arrays import write_arrays
from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.glomeruli.contours import Glomerulus, rank, write_geojson
from nephroscale.glomeruli.crops import cut_crop, fit_whole
from nephroscale.glomeruli.instances import ProbabilityMaps, find_instances, measure_outlines
from nephroscale.glomeruli.outlines import Annotation, LeftOut, list_left_out, outlines_on
from nephroscale.glomeruli.overlay import draw_overlay
from nephroscale.glomeruli.sections import count_by_section
from nephroscale.glomeruli.stain_likeness import ALIKE, describe_colours, likeness
from nephroscale.glomeruli.tile_view import TileView
from nephroscale.slides.facts import is_whole_field
from nephroscale.slides.tile_reader import Tiles, open_tiles

if TYPE_CHECKING:
    from pathlib import Path

    from nephroscale.cohort.image import ImageRow
    from nephroscale.glomeruli.settings import DetectionSettings

#: Module of each detector, which has a function `detect` (see :class:`Detector`).
DETECTORS = {"unet": "nephroscale.glomeruli.unet", "classical": "nephroscale.glomeruli.classical"}


class Detector(Protocol):
    """A module that finds glomeruli."""

    @staticmethod
    def detect(view: TileView, weights: Path | None, settings: DetectionSettings) -> ProbabilityMaps:
        """Compute the probability of glomerulus, and of its being sclerosed where the detector can tell."""


class Searched(TypedDict, total=False):
    """Figures of a search.

    `too_small`, `too_large`, `not_round` and `under_pen` count contours that were left out. `scores` is `calibrated` if
    they were fitted to held-out outlines, otherwise `uncalibrated`. `stain_likeness` is that of an OM slide's colours
    to the closest slide that the segmenter was trained on; where it is low, or the segmenter was trained on no IM image
    of the marker, `stain_unknown` is true, and `glomeruli.method: auto` takes the classical detector.
    """

    too_small: int
    too_large: int
    not_round: int
    under_pen: int
    scores: str
    stain_likeness: float
    stain_unknown: bool


class GlomeruliFigures(Searched):
    """Figures of an image.

    `score`, `completeness` and `diameter_um` are those of the representative glomerulus; `outlines_left_out`
    has the objects of a person's annotation that were left out, and `doubtful_images` what to check of it. `sections`
    is the number of sections with glomeruli, `fullest_section` the number of glomeruli in the fullest of them.
    `sclerosed` and `fullest_sclerosed` are numbers of sclerosed ones among these, where it is known which are
    sclerosed.
    """

    method: str
    glomeruli: int
    score: float
    completeness: float
    diameter_um: float | None
    sections: int
    fullest_section: int
    sclerosed: NotRequired[int]
    fullest_sclerosed: NotRequired[int]
    outlines_left_out: NotRequired[list[LeftOut]]
    doubtful_images: NotRequired[dict[str, str]]


def choose_detector(modality: str, method: str, *, has_segmenter: bool) -> str:
    """Choose the detector of an image.

    Parameters
    ----------
    modality
        OM or IM.
    method
        `glomeruli.method` of the configuration.
    has_segmenter
        Whether the cohort has a trained segmenter of the modality.

    Raises
    ------
    NephroscaleError
        When the configuration requires the U-Net, but there is no segmenter for OM; IM has one only where enough images
        are outlined.
    """
    if method == "classical":
        return "classical"
    if method == "unet" and modality == "OM" and not has_segmenter:
        raise NephroscaleError(
            "The U-Net has no weights.",
            where="configuration, glomeruli.method: unet",
            fix="Give patients with annotated OM slides `use: segmentation`, or choose `auto` or `classical`.",
        )
    return "unet" if has_segmenter else "classical"


def find_glomeruli(  # noqa: PLR0917
    tiles: Path,
    segmenter: Path | None,
    row: ImageRow,
    settings: DetectionSettings,
    out: Path,
    slide: str,
    annotation: Path | None = None,
    *,
    raw: Path | None = None,
) -> GlomeruliFigures:
    """Find the glomeruli of an image, and write outlines and crops.

    Parameters
    ----------
    tiles
        OME-Zarr of the image.
    segmenter
        Folder by :func:`nephroscale.glomeruli.segmenter.train_segmenter`, or None.
    row
        Table row of the image; with `roi: whole` the whole image is the crop.
    settings
        Detector, limits of size, and size of the crops.
    out
        Folder to create: `glomeruli.geojson`, `crops` (Zarr group), `overlay.png`.
    slide
        Digest of the image's raw file, for the ids of the outlines.
    annotation
        Corrected outlines (see :func:`nephroscale.glomeruli.outlines.read_outlines`), which are used instead of
        detected ones; None where there are none.
    raw
        The raw file, needed if the tiles have no pixels.

    Raises
    ------
    Rejected
        When no glomerulus is found, the scale of the image is unknown, or the corrected outlines cannot be used.
    """
    opened = open_tiles(tiles, raw)
    whole = is_whole_field(row)
    searched: Searched = {"too_small": 0, "too_large": 0, "not_round": 0, "under_pen": 0}
    left_out: dict[str, int] = {}
    doubt = ""
    calibration = None
    if whole:
        method, glomeruli = "whole", [_whole(opened)]
    elif opened.mpp is None:
        raise Rejected("image has no scale, which the detection of glomeruli needs")
    elif annotation:
        view = TileView.at_scale(opened, settings.mpp)
        drawn = _corrected(view, annotation, row.id, settings)
        method, glomeruli = "annotation", measure_outlines(view, drawn.outlines)
        left_out, doubt = drawn.left_out, drawn.doubt
    else:
        method = choose_detector(opened.modality, settings.method, has_segmenter=segmenter is not None)
        if method == "unet":
            from nephroscale.glomeruli.network import load_weights  # needs torch, which the classical detector does not

            assert segmenter is not None
            known = load_weights(segmenter)
            if opened.modality == "OM":
                alike = likeness(describe_colours(opened), known.colours)
                searched["stain_likeness"], searched["stain_unknown"] = round(alike, 3), alike < ALIKE
            else:
                searched["stain_unknown"] = opened.stain not in known.markers
            if searched["stain_unknown"] and settings.method == "auto":
                method = "classical"
            else:
                settings = replace(settings, min_diameter_um=known.least_um(settings.min_diameter_um))
                calibration = known.calibration
        detector = cast("Detector", importlib.import_module(DETECTORS[method]))
        view = TileView.at_scale(opened, max(settings.mpp, getattr(detector, "FINEST_MPP", 0.0)))
        maps = detector.detect(view, segmenter, settings)
        found = find_instances(view, maps.glomerulus, settings, maps.sclerosed)
        glomeruli = found.glomeruli
        searched |= {
            "too_small": found.too_small,
            "too_large": found.too_large,
            "not_round": found.not_round,
            "under_pen": found.under_pen,
            "scores": "calibrated" if calibration else "uncalibrated",
        }
        if calibration:
            glomeruli = rank([replace(one, score=calibration.apply(one.score)) for one in glomeruli])
        if not glomeruli:
            raise Rejected(
                f"no glomerulus found ({found.too_small} contours too small, {found.too_large} too large, "
                f"{found.not_round} not round, {found.under_pen} under pen marks)",
                method=method,
                glomeruli=0,
                **searched,
            )
    classified = any(one.sclerosed is not None for one in glomeruli)
    sclerosed = sum(one.is_sclerosed for one in glomeruli)
    # The numbers of outlines are those of crops, so outlines without a crop come last.
    glomeruli = sorted(glomeruli, key=lambda one: one.is_sclerosed and not settings.crop_sclerosed)
    cropped = [one for one in glomeruli if settings.crop_sclerosed or not one.is_sclerosed]
    if not cropped:
        raise Rejected(
            f"all of its glomeruli ({sclerosed}) are sclerosed, and glomeruli.crop_sclerosed is false",
            method=method,
            glomeruli=len(glomeruli),
            sclerosed=sclerosed,
            **searched,
        )
    size = settings.crop_px
    crops = [
        fit_whole(opened, size) if whole else cut_crop(opened, one.centre, settings.crop_um, size) for one in cropped
    ]
    out.mkdir(parents=True)
    write_geojson(out / "glomeruli.geojson", glomeruli, slide)
    arrays = {
        "crops": np.stack(crops),
        "score": np.asarray([one.score for one in cropped], np.float32),
        "centre": np.round(np.asarray([one.centre for one in cropped], np.float64), 2),
    }
    attributes = {
        "modality": opened.modality,
        "stain": opened.stain,
        "calibration": opened.calibration,
        "whole": whole,
        "um_per_px": None if whole else settings.crop_um / size,
    }
    write_arrays(out / "crops", arrays, attributes)
    draw_overlay(opened, glomeruli, out / "overlay.png")
    first = cropped[0]
    of_first = {
        "score": round(first.score, 4),
        "completeness": round(first.completeness, 4),
        "diameter_um": None if first.diameter_um is None else round(first.diameter_um, 1),
    }
    counted = count_by_section(opened, glomeruli)
    counts = {"glomeruli": len(glomeruli), "sections": counted.sections, "fullest_section": counted.fullest}
    figures = cast("GlomeruliFigures", {**searched, "method": method, **counts, **of_first})
    if classified:
        figures["sclerosed"], figures["fullest_sclerosed"] = sclerosed, counted.sclerosed
    if left_out:
        figures["outlines_left_out"] = list_left_out(row.id, left_out)
    if doubt:
        figures["doubtful_images"] = {row.id: doubt}
    return figures


def _corrected(view: TileView, annotation: Path, image: str, settings: DetectionSettings) -> Annotation:
    try:
        drawn = outlines_on(view, annotation, settings)
        if not drawn.outlines:
            raise Rejected("its annotation has no outline of a glomerulus")
    except Rejected as verdict:
        left_out: list[LeftOut] = [{"id": image, "reason": verdict.reason}]
        raise Rejected(verdict.reason, method="annotation", glomeruli=0, outlines_left_out=left_out) from verdict
    return drawn


def _whole(tiles: Tiles) -> Glomerulus:
    """Give the outline of the whole image; the size of the glomerulus in it is unknown."""
    _, height, width = tiles.shape(0)
    x, y = tiles.origin
    right, bottom = x + width * tiles.raw_px[0], y + height * tiles.raw_px[1]
    return Glomerulus(Polygon([(x, y), (right, y), (right, bottom), (x, bottom)]), 1.0, 1.0, None)
