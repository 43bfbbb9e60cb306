"""What the segmenter finds in annotated slides that it was not trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shapely import union_all
from shapely.geometry import Polygon

from nephroscale.glomeruli.contours import rasterise
from nephroscale.glomeruli.instances import find_instances
from nephroscale.glomeruli.labelled_slide import AnnotatedSlide, LabelledSlide
from nephroscale.glomeruli.metrics import match
from nephroscale.glomeruli.network import load_weights
from nephroscale.glomeruli.outlines import outlines_on
from nephroscale.glomeruli.settings import DetectionSettings, SegmenterSettings
from nephroscale.glomeruli.tile_view import TileView
from nephroscale.glomeruli.unet import detect
from nephroscale.slides.tile_reader import open_tiles

MIN_KNOWN = 0.5  # part of a contour without outline that is known to be no glomerulus; others count nowhere


@dataclass(frozen=True)
class HeldOutSlide:
    """Contours in a slide that was held out.

    Parameters
    ----------
    scores
        Of the contours.
    hits
        Whether each matches an outline, with an intersection over union of at least 0.5.
    outlines
        Number of outlines.
    area, overlap
        Sum of the areas of contours and outlines, and the area that they share, µm².
    """

    scores: list[float]
    hits: list[bool]
    outlines: int
    area: float
    overlap: float


def search_held_out(
    weights: Path, slide: AnnotatedSlide, labelled: LabelledSlide, settings: SegmenterSettings
) -> HeldOutSlide:
    """Find glomeruli in an annotated slide and compare them with its outlines.

    Contours without outline count only where it is known that there is no glomerulus (:class:`.LabelledSlide`).

    Parameters
    ----------
    weights
        Folder of a segmenter that was not trained on the slide.
    slide
        The slide.
    labelled
        The same at the scale of segmentation.
    settings
        Of the training: scale, and limits of size.
    """
    view = TileView.at_scale(open_tiles(slide.tiles, slide.raw), settings.mpp)
    least = load_weights(weights).least_um(settings.min_diameter_um)
    search = DetectionSettings(min_diameter_um=least, max_diameter_um=settings.max_diameter_um, mpp=settings.mpp)
    glomeruli = find_instances(view, detect(view, weights, search).glomerulus, search).glomeruli
    true = outlines_on(view, slide.annotation, settings).polygons
    found: list[tuple[Polygon, float]] = []
    for one in glomeruli:
        polygon = view.polygon_from_raw(one.polygon)
        inside = rasterise([polygon], view.shape)
        if any(polygon.intersects(each) for each in true) or labelled.known[inside].mean() >= MIN_KNOWN:
            found.append((polygon, one.score))
    contours = [polygon for polygon, _ in found]
    matched = {i for i, _ in match(contours, true)}
    a, b = union_all(contours), union_all(true)
    square = settings.mpp**2
    return HeldOutSlide(
        [score for _, score in found],
        [index in matched for index in range(len(found))],
        len(true),
        (a.area + b.area) * square,
        a.intersection(b).area * square,
    )
