"""Outlines of glomeruli that a person drew: which of an annotation's objects count, and where nothing is known."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, NotRequired, TypedDict

import numpy as np
from shapely import STRtree, make_valid
from shapely.affinity import translate
from shapely.geometry import Polygon, box
from shapely.geometry.base import BaseGeometry

from nephroscale.errors import Rejected
from nephroscale.glomeruli.annotation_formats.base import DrawnObject, UnreadableAnnotationError
from nephroscale.glomeruli.annotation_formats.registry import read_objects
from nephroscale.glomeruli.classes import DEFAULT_CLASSES, UNKNOWN, Kind, classify, is_named
from nephroscale.glomeruli.contours import rasterise
from nephroscale.glomeruli.necks import split_at_necks
from nephroscale.glomeruli.placement import find_misplacement
from nephroscale.glomeruli.placement_doubt import doubtful_placement
from nephroscale.glomeruli.settings import OutlineSettings
from nephroscale.glomeruli.tile_view import TileView

ON_SLIDE = 0.2  # smallest part of an outline that is on the slide's tiles
MOST_OUTSIDE = 0.5  # fraction of the outlines; beyond it the annotation is not of this slide
SAME_MPP = 0.05  # relative difference of the scales of both, beyond which one is wrong
SAME_SIZE = 0.01  # relative difference of the sides of slide and annotated picture
ON_TISSUE = 0.5  # smallest part of an outline that is on tissue
SAME = 0.5  # intersection over union of two outlines of one glomerulus
INSIDE = 0.9  # part of an outline that lies in another one
SLIVER = 0.02  # smallest piece of a repaired outline, as a fraction of the largest


class Outline(NamedTuple):
    """The outline of a glomerulus.

    Attributes
    ----------
    polygon
        Valid.
    sclerosed
        Whether it has the class of a sclerosed glomerulus.
    of_mask
        Whether it is a region of a mask, which may be of several glomeruli that touch.
    """

    polygon: Polygon
    sclerosed: bool = False
    of_mask: bool = False


@dataclass(frozen=True)
class Annotation:
    """What a person drew on a slide.

    Parameters
    ----------
    outlines
        Of glomeruli, in the order of the file; an object of several parts gives several.
    areas
        Areas in which every glomerulus is outlined; outside them nothing is known. None: the whole slide.
    unknown
        Outlines of glomeruli that were left out.
    left_out
        Why objects were left out, to their number.
    frame
        Width and height of the picture that it was drawn on, pixels, where the file states them.
    mpp
        Scale of that picture, µm per pixel, where the file states it.
    doubt
        What a person should check; empty where nothing is doubtful.
    """

    outlines: list[Outline]
    areas: list[Polygon] | None = None
    unknown: list[Polygon] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    frame: tuple[int, int] | None = None
    mpp: float | None = None
    doubt: str = ""

    @property
    def polygons(self) -> list[Polygon]:
        """The outlines' polygons."""
        return [outline.polygon for outline in self.outlines]


class LeftOut(TypedDict):
    """`count` objects of the annotation of an image that were left out; without `count` the whole annotation."""

    id: str
    reason: str
    count: NotRequired[int]


def read_outlines(path: Path, classes: Mapping[str, Kind] | None = None) -> Annotation:
    """Read the outlines of glomeruli in an annotation of any format (:mod:`.annotation_formats.registry`).

    Parameters
    ----------
    path
        The file; the format is detected by content.
    classes
        Name of a class to its meaning (:func:`.classes.classify`); the default ones if None. Objects without class are
        glomeruli, unless other objects of the file have the class of a glomerulus.

    Returns
    -------
    Annotation
        In raw level-0 pixels (x to the right, y down, the corner of the first pixel is 0, 0).

    Raises
    ------
    Rejected
        When the file is damaged, or of no known format.
    """
    classes = DEFAULT_CLASSES if classes is None else classes
    try:
        objects = read_objects(Path(path))
    except UnreadableAnnotationError as error:
        raise Rejected(f"its annotation cannot be read: {error}") from error
    verdicts = [_kind_of(one, classes) for one in objects]
    named = any(kind in {"glomerulus", "sclerosed"} for kind, _ in verdicts)
    outlines: list[Outline] = []
    areas: list[Polygon] = []
    unknown: list[Polygon] = []
    left_out: Counter[str] = Counter()
    hidden = 0
    planes: set[tuple[int, ...]] = set()
    for one, (kind, why) in zip(objects, verdicts, strict=True):
        reason = why or one.fault or ("has no class, but others have one" if kind is None and named else "")
        if reason:
            left_out[reason] += 1
            unknown += polygons_of(one.area) if why.endswith(UNKNOWN) else []
        elif kind == "annotated area":
            areas += polygons_of(one.area)
        elif kind != "other":  # a class that the settings call `other` is left out without a word
            outlines += [Outline(polygon, kind == "sclerosed", one.of_mask) for polygon in polygons_of(one.area)]
            hidden += one.hidden
            planes.add(one.plane)
    frame = next((one.frame for one in objects if one.frame), None)
    mpp = next((one.mpp for one in objects if one.mpp), None)
    doubts = []
    if hidden:
        doubts.append(
            f"its annotation counts with the outlines of hidden layers ({hidden}, Visible=0): delete these layers if "
            "they are no longer meant"
        )
    if len(planes) > 1:
        doubts.append(
            f"its annotation has outlines on {len(planes)} planes of a stack, and all of them count: delete those of "
            "other images"
        )
    return Annotation(outlines, areas or None, unknown, dict(sorted(left_out.items())), frame, mpp, "; ".join(doubts))


def outlines_on(view: TileView, path: Path, settings: OutlineSettings) -> Annotation:
    """Read the outlines of glomeruli that lie on a slide and have the size of one.

    Parameters
    ----------
    view
        The slide at any scale.
    path
        The file, as in :func:`read_outlines`.
    settings
        Classes, and limits of size.

    Returns
    -------
    Annotation
        In pixels of the view. Left out, and counted, are outlines of which less than a fifth is on the slide's tiles,
        or less than half on tissue (OM), those beyond the limits of size, and second outlines of one glomerulus.

    Raises
    ------
    Rejected
        When the file cannot be used: it is damaged, was drawn on a picture of another size, its outlines are not on the
        slide or its glomeruli, or are all too small or too large.
    """
    drawn, split_doubt = _split_joint(read_outlines(path, settings.classes), view, settings)
    _refuse_other_frame(drawn.frame, view)
    _refuse_misplaced(drawn, view)
    height, width = view.shape
    frame, mpp = box(0, 0, width, height), view.mpp or 1.0
    kept: list[Outline] = []
    unknown = [view.polygon_from_raw(polygon) for polygon in drawn.unknown]
    left_out = Counter(drawn.left_out)
    outside = on_glass = 0
    for outline in drawn.outlines:
        placed = view.polygon_from_raw(outline.polygon)
        diameter = 2 * math.sqrt(placed.area / math.pi) * mpp
        if placed.intersection(frame).area <= ON_SLIDE * placed.area:
            outside += 1
        elif view.bright and _tissue_share(view, placed) < ON_TISSUE:
            on_glass += 1
        elif diameter > settings.max_diameter_um:
            left_out[f"is larger than {settings.max_diameter_um:g} µm (glomeruli.max_diameter_um)"] += 1
        elif diameter < settings.min_diameter_um:
            left_out[f"is smaller than {settings.min_diameter_um:g} µm (glomeruli.min_diameter_um)"] += 1
            unknown.append(placed)
        else:
            kept.append(outline._replace(polygon=placed))
    if outside > MOST_OUTSIDE * len(drawn.outlines):
        raise Rejected(
            f"{outside} of the {len(drawn.outlines)} outlines of its annotation are outside the slide: it belongs to "
            "another slide, or is not in pixels of full resolution"
        )
    if on_glass > MOST_OUTSIDE * len(drawn.outlines):
        raise Rejected(
            f"{on_glass} of the {len(drawn.outlines)} outlines of its annotation lie where no tissue was found: it "
            "belongs to another slide, is mirrored, or is not in pixels of full resolution"
        )
    if on_glass:
        left_out["lies where no tissue was found"] += on_glass
    if outside:
        left_out["is outside the slide"] += outside
    if again := _second_outlines(kept):
        left_out.update(again.values())
        kept = [outline for number, outline in enumerate(kept) if number not in again]
    if not kept and (drawn.areas is None or drawn.outlines):
        raise Rejected(f"its annotation has no usable outline of a glomerulus ({describe(left_out)})")
    misplaced = doubtful_placement(view, [one.polygon for one in drawn.outlines if not one.sclerosed], settings)
    areas = None if drawn.areas is None else [view.polygon_from_raw(area) for area in drawn.areas]
    return Annotation(
        kept,
        areas,
        unknown,
        dict(sorted(left_out.items())),
        doubt="; ".join(filter(None, (drawn.doubt, split_doubt, _scale_doubt(drawn.mpp, view), misplaced))),
    )


def _split_joint(drawn: Annotation, view: TileView, settings: OutlineSettings) -> tuple[Annotation, str]:
    """Split regions of a mask that are several glomeruli, and say how many; each part has the size of a glomerulus."""
    outlines: list[Outline] = []
    split = 0
    for outline in drawn.outlines:
        parts = split_at_necks(outline.polygon) if outline.of_mask else [outline.polygon]
        diameters = [2 * math.sqrt(view.polygon_from_raw(part).area / math.pi) * (view.mpp or 1.0) for part in parts]
        if all(settings.min_diameter_um <= diameter <= settings.max_diameter_um for diameter in diameters):
            split += len(parts) > 1
            outlines += [outline._replace(polygon=part) for part in parts]
        else:
            outlines.append(outline)
    if not split:
        return drawn, ""
    return replace(drawn, outlines=outlines), (
        f"its mask has regions of several round bodies ({split}), which were split at their necks as glomeruli that "
        "touch: check the outlines"
    )


def _scale_doubt(drawn: float | None, view: TileView) -> str:
    """Say that an annotation was drawn at another scale than that of the slide; empty where it was not."""
    if drawn is None or view.mpp is None:
        return ""
    of_slide = view.mpp / (view.ratio * float(np.mean(view.tiles.raw_px)))
    if abs(drawn / of_slide - 1) <= SAME_MPP:
        return ""
    return (
        f"its annotation states {drawn:.4g} µm per pixel, but the slide has {of_slide:.4g}: check that it was drawn on "
        "this file, and the scale of the slide"
    )


def _refuse_other_frame(frame: tuple[int, int] | None, view: TileView) -> None:
    """Refuse an annotation that was drawn on a picture of another size, a reduced copy for instance."""
    width, height = (int(side) for side in view.tiles.slide_px)
    if frame is None or min(width, height) <= 1:  # tiles of an earlier version do not have the size of the slide
        return
    if any(abs(side / own - 1) > SAME_SIZE for side, own in zip(frame, (width, height), strict=True)):
        raise Rejected(
            f"its annotation was drawn on a picture of {frame[0]} x {frame[1]} pixels, but the slide has {width} x "
            f"{height}: it belongs to another slide, or is not in pixels of full resolution"
        )


def _refuse_misplaced(drawn: Annotation, view: TileView) -> None:
    """Refuse outlines that fit the slide after a simple change alone; sclerosed ones do not stand out."""
    if what := find_misplacement(view, [one.polygon for one in drawn.outlines if not one.sclerosed]):
        raise Rejected(
            f"the outlines of its annotation lie beside the glomeruli: they are {what}; export them in pixels of full "
            "resolution, counted from the corner of the slide"
        )


def _tissue_share(view: TileView, polygon: Polygon) -> float:
    """Share of an outline that lies on tissue; 1 where tissue is unknown, or the outline has less than a pixel."""
    if view.tissue is None:
        return 1.0
    x0, y0 = (max(0, math.floor(low)) for low in polygon.bounds[:2])
    x1, y1 = (min(n, math.ceil(high)) for n, high in zip(view.shape[::-1], polygon.bounds[2:], strict=True))
    inside = rasterise([translate(polygon, -x0, -y0)], (y1 - y0, x1 - x0))
    return float(view.tissue[y0:y1, x0:x1][inside].mean()) if inside.any() else 1.0


def _second_outlines(outlines: list[Outline]) -> dict[int, str]:
    """Find outlines inside a larger one, and copies of one, with the reason: a glomerulus counts once."""
    polygons = [outline.polygon for outline in outlines]
    tree, second = STRtree(polygons), dict[int, str]()
    for number, polygon in enumerate(polygons):
        for other in map(int, tree.query(polygon)):
            if (polygons[other].area, -other) <= (polygon.area, -number):
                continue
            shared = polygon.intersection(polygons[other]).area
            if shared >= INSIDE * polygon.area:
                second[number] = "lies inside another outline"
            elif shared >= SAME * (polygon.area + polygons[other].area - shared):
                second.setdefault(number, "is a second outline of a glomerulus")
    return second


def list_left_out(image: str, left_out: Mapping[str, int]) -> list[LeftOut]:
    """List what was left out of the annotation of an image, for the figures of a receipt."""
    return [{"id": image, "reason": reason, "count": count} for reason, count in left_out.items()]


def describe(left_out: Mapping[str, int]) -> str:
    """Write the reasons for which objects were left out, with their numbers."""
    return "; ".join(f"{count} left out: {reason}" for reason, count in sorted(left_out.items())) or "it is empty"


def polygons_of(geometry: BaseGeometry | None) -> list[Polygon]:
    """Split a geometry into valid polygons; self-intersections are repaired, points and lines dropped.

    Parameters
    ----------
    geometry
        Any geometry; None has none.
    """
    polygons: list[Polygon] = []
    for part in getattr(geometry, "geoms", [geometry]):
        if isinstance(part, Polygon) and part.is_valid:
            polygons += [part] if part.area > 0 else []
        elif isinstance(part, Polygon):
            repaired = polygons_of(make_valid(part))
            # Repairing an outline that intersects itself at its ends leaves slivers.
            polygons += [piece for piece in repaired if piece.area > SLIVER * max(other.area for other in repaired)]
        elif hasattr(part, "geoms"):
            polygons += polygons_of(part)
    return polygons


def _kind_of(one: DrawnObject, classes: Mapping[str, Kind]) -> tuple[Kind | None, str]:
    """Decide what an object is, by its labels, otherwise by its name (None without class), and why it is left out."""
    labels = [label for label in one.labels if is_named(label)]
    kind, why = classify((*one.labels, one.name), classes)
    if kind is None and labels:
        kind, why = "other", "glomeruli.classes does not have it"
    return kind, f"is of the class {(labels or [one.name])[0][:60]!r}: {why}" if why else ""
