"""Annotated slides at the scale of segmentation, with their reference masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nephroscale.errors import Rejected
from nephroscale.glomeruli.contours import rasterise
from nephroscale.glomeruli.outlines import LeftOut, list_left_out, outlines_on, polygons_of
from nephroscale.glomeruli.segmenter_pixels import pixel_conversion
from nephroscale.glomeruli.settings import SegmenterSettings
from nephroscale.glomeruli.stain_likeness import describe_colours
from nephroscale.glomeruli.tile_view import TileView
from nephroscale.slides.tile_reader import open_tiles
from nephroscale.slides.tile_status import TileStatus

RIM_UM = 60.0  # width of the rim along borders in which only outlines are known: glomeruli cut there are not outlined


class AnnotatedSlide(NamedTuple):
    """A slide to learn from.

    Attributes
    ----------
    id
        Image id.
    tiles
        OME-Zarr of the slide.
    annotation
        File with outlines of its glomeruli.
    raw
        Its raw file, needed if its tiles have no pixels.
    patient
        Patient id.
    """

    id: str
    tiles: Path
    annotation: Path
    raw: Path | None = None
    patient: str = ""


@dataclass(frozen=True)
class LabelledSlide:
    """A slide at the scale of segmentation, with its reference mask.

    Parameters
    ----------
    name
        Image id.
    pixels
        uint8 [h, w, c], by :func:`.segmenter_pixels.pixel_conversion`.
    truth
        bool [h, w], glomeruli.
    status
        uint8 [h, w], values of :class:`TileStatus`.
    known
        bool [h, w]: readable pixels in an outline, or within an annotated area at some distance from its border, where
        glomeruli may be cut and without outline, and in no outline that was left out.
    centres
        float64 [n, 2], y, x of the glomeruli in pixels.
    diameters_um
        float64 [n], of the discs of equal area.
    colours
        By :func:`.stain_likeness.describe_colours`; of IM empty.
    left_out
        Why objects of the annotation were left out, to their number.
    sclerosed
        bool [h, w], sclerosed glomeruli; None where no outline has that class.
    doubt
        What a person should check of its annotation; empty where nothing is doubtful.
    marker
        Of an IM image; None for OM.
    """

    name: str
    pixels: np.ndarray
    truth: np.ndarray
    status: np.ndarray
    known: np.ndarray
    centres: np.ndarray
    diameters_um: np.ndarray
    colours: np.ndarray
    left_out: Mapping[str, int]
    sclerosed: np.ndarray | None = None
    doubt: str = ""
    marker: str | None = None


def load_all(
    slides: Sequence[AnnotatedSlide], settings: SegmenterSettings
) -> tuple[list[LabelledSlide], list[LeftOut]]:
    """Load the slides by id, and list those that cannot be used, and the objects that were left out."""
    loaded: list[LabelledSlide] = []
    left_out: list[LeftOut] = []
    for slide in sorted(slides, key=lambda slide: slide.id):
        try:
            one = load_annotated(slide, settings)
        except Rejected as verdict:
            left_out.append({"id": slide.id, "reason": verdict.reason})
        else:
            loaded.append(one)
            left_out += list_left_out(slide.id, one.left_out)
    if not any(len(slide.centres) for slide in loaded):
        raise Rejected("none of the annotated slides can be used to train the segmenter", outlines_left_out=left_out)
    return loaded, left_out


def load_annotated(slide: AnnotatedSlide, settings: SegmenterSettings) -> LabelledSlide:
    """Load a slide and its outlines at the scale of segmentation.

    Parameters
    ----------
    slide
        The slide.
    settings
        Scale, and which outlines count.

    Raises
    ------
    Rejected
        When its annotation cannot be used, or its scale is unknown.
    """
    tiles = open_tiles(slide.tiles, slide.raw)
    if tiles.mpp is None:
        raise Rejected("image has no scale, which the segmenter needs")
    view = TileView.at_scale(tiles, settings.mpp)
    drawn = outlines_on(view, slide.annotation, settings)
    truth = rasterise(drawn.polygons, view.shape)
    rim = RIM_UM / settings.mpp
    if drawn.areas is None:
        known = np.zeros(view.shape, bool)
        edge = round(rim)
        known[edge : view.shape[0] - edge, edge : view.shape[1] - edge] = True
    else:
        known = rasterise([inner for area in drawn.areas for inner in polygons_of(area.buffer(-rim))], view.shape)
    known &= ~rasterise(drawn.unknown, view.shape)
    known = (known | truth) & (view.status != TileStatus.UNREADABLE)
    centres = np.array([[polygon.centroid.y, polygon.centroid.x] for polygon in drawn.polygons]).reshape(-1, 2)
    diameters = 2 * settings.mpp * np.sqrt(np.array([polygon.area for polygon in drawn.polygons]) / np.pi)
    colours = describe_colours(view.tiles) if view.bright else np.zeros(0, np.float32)
    scarred = [outline.polygon for outline in drawn.outlines if outline.sclerosed]
    return LabelledSlide(
        slide.id,
        pixel_conversion(view)(view.whole()),
        truth,
        view.status,
        known,
        centres,
        diameters,
        colours,
        drawn.left_out,
        rasterise(scarred, view.shape) if scarred else None,
        drawn.doubt,
        None if view.bright else tiles.stain,
    )
