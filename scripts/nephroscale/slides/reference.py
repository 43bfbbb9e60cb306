"""Stain references: fitted on the slides of the segmentation patients, or read from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypedDict, TypeVar

import numpy as np

from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.slides.readers.registry import open_slide
from nephroscale.slides.scales import choose_scales
from nephroscale.slides.slide_view import WHITE, SlideView
from nephroscale.slides.stain import DIGITS, MacenkoFit, ReinhardFit, StainReference, fit_macenko, fit_reinhard
from nephroscale.slides.tile_grid import make_grid, sample_tissue
from nephroscale.slides.tissue import estimate_white_point, find_bright_tissue
from nephroscale.slides.vahadane import fit_vahadane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nephroscale.slides.facts import ImageFacts
    from nephroscale.slides.settings import OmTilingSettings

F = TypeVar("F", MacenkoFit, ReinhardFit)


class ReferenceSlide(NamedTuple):
    """A slide that the reference is fitted on.

    Attributes
    ----------
    path
        File that the format is opened by.
    facts
        Its facts; rejected slides are counted only.
    stain
        Name of its stain.
    """

    path: Path
    facts: ImageFacts
    stain: str


class ReferenceFigures(TypedDict):
    """Number of slides fitted, by stain, and of slides that could not be."""

    slides: dict[str, int]
    rejected_slides: int


def fit_reference(slides: Sequence[ReferenceSlide], settings: OmTilingSettings) -> dict[str, StainReference]:
    """Fit the reference of each stain: the medoid of the fits of its slides.

    Parameters
    ----------
    slides
        Slides of all stains.
    settings
        Settings of OM tiling.

    Returns
    -------
    dict
        By stain.
    """
    fits: dict[str, list[tuple[MacenkoFit, ReinhardFit, MacenkoFit | None]]] = {}
    rejected: dict[str, int] = {}
    for slide in slides:
        fits.setdefault(slide.stain, [])
        try:
            pixels, white = _sample(slide, settings)
        except Rejected:
            rejected[slide.stain] = rejected.get(slide.stain, 0) + 1
            continue
        vahadane = fit_vahadane(pixels, white) if settings.normalisation == "vahadane" else None
        fits[slide.stain].append((fit_macenko(pixels, white), fit_reinhard(pixels, white), vahadane))
    return {
        stain: StainReference(
            macenko=choose_medoid([macenko for macenko, _, _ in found]),
            reinhard=choose_medoid([reinhard for _, reinhard, _ in found]),
            slides=len(found),
            rejected=rejected.get(stain, 0),
            vahadane=choose_medoid([vahadane for _, _, vahadane in found if vahadane is not None]),
        )
        for stain, found in sorted(fits.items())
    }


def write_reference(slides: Sequence[ReferenceSlide], settings: OmTilingSettings, out: Path) -> ReferenceFigures:
    """Fit the reference of each stain and write it as JSON.

    Raises
    ------
    Rejected
        When no slide could be fitted.
    """
    references = fit_reference(slides, settings)
    if not any(reference.slides for reference in references.values()):
        raise Rejected("no slide of a segmentation patient can be read, so there is no stain reference")
    content = {stain: reference.to_json() for stain, reference in references.items()}
    out.write_text(json.dumps(content, sort_keys=True, indent=2) + "\n", encoding="utf-8")
    return {
        "slides": {stain: reference.slides for stain, reference in references.items()},
        "rejected_slides": sum(reference.rejected for reference in references.values()),
    }


def read_reference(path: Path) -> dict[str, StainReference]:
    """Read the references that OM slides are normalised to, by stain: a file by :func:`write_reference`.

    Raises
    ------
    NephroscaleError
        When the file is not a reference.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {stain: StainReference.from_json(one) for stain, one in content.items() if isinstance(one, dict)}
    except (OSError, ValueError, TypeError, AttributeError) as fault:
        raise NephroscaleError(
            f"The stain reference cannot be read: {fault}.",
            where=str(path),
            fix="Correct om.reference_file in the configuration.",
        ) from fault


def _sample(slide: ReferenceSlide, settings: OmTilingSettings) -> tuple[np.ndarray, tuple[float, ...]]:
    """Sample the tissue of a slide, uint8 [n, 3], and the colour of its glass."""
    facts = slide.facts
    if facts.status == "rejected":
        raise Rejected(facts.reason or "rejected when registered")
    with open_slide(slide.path, facts.reader, facts.page, facts.stretch) as reader:
        scales = choose_scales(reader, facts.mpp, settings)
        overview = SlideView(reader, scales.overview, fill=WHITE).overview()
        found = find_bright_tissue(
            overview.pixels, overview.valid, scales.overview_mpp or settings.tissue_mpp, slide.stain
        )
        view = SlideView(reader, scales.tile, fill=WHITE)
        grid = make_grid(view, found, overview.unreadable, scales.ratio, settings)
        white = estimate_white_point(overview.pixels, overview.valid & ~found.pen)
        return sample_tissue(view, grid, found.tissue, scales.ratio), white


def choose_medoid(fits: Sequence[F]) -> F | None:
    """Choose the fit with the least sum of distances to all others.

    The medoid is the fit of a real slide. A median of each element may be a colour that no stain has: between a pink
    and a green counterstain it is grey.

    Parameters
    ----------
    fits
        Fits of one kind; those with a fault are ignored. Each number is scaled by its spread among the fits.

    Returns
    -------
    MacenkoFit or ReinhardFit or None
        One of the fits, the first of equals; None where no fit is good.
    """
    good = [fit for fit in fits if not fit.fault]
    if not good:
        return None
    values = np.array([fit.vector for fit in good])
    values /= np.maximum(
        np.median(np.abs(values - np.median(values, axis=0)), axis=0), 1e-3 * np.abs(values).max(0) + 1e-9
    )
    distances = np.abs(values[:, None] - values[None]).sum((1, 2))
    return good[int(np.argmin(np.round(distances, DIGITS)))]
