"""What stains are normalised to: fitted on the slides of patients set apart, or read from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.slides.readers.registry import open_slide
from nephroscale.slides.sampling import WHITE, find_scales, make_grid, sample_tissue
from nephroscale.slides.scaled import ScaledView
from nephroscale.slides.stain import DIGITS, Fit, fit_macenko, fit_reinhard
from nephroscale.slides.tissue import estimate_white_point, find_bright_tissue


def fit_reference(
    slides: list[tuple[Path, dict[str, Any], str]], settings: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Fit each stain's reference: of the fits of its slides the one in their midst.

    Parameters
    ----------
    slides
        Path, facts and stain of each slide; rejected ones are passed over and counted.
    settings
        The configuration's `om`.

    Returns
    -------
    dict
        Stain to `macenko` and `reinhard` (as :mod:`nephroscale.slides.stain` fits them), `slides` (how many were
        fitted) and `rejected` (how many could not be).
    """
    fits: dict[str, list[tuple[Fit, Fit]]] = {}
    rejected: dict[str, int] = {}
    for path, facts, stain in slides:
        fits.setdefault(stain, [])
        try:
            if facts["status"] == "rejected":
                raise Rejected(facts["reason"])
            pixels, white = _sample(path, facts, stain, settings)
        except Rejected:
            rejected[stain] = rejected.get(stain, 0) + 1
            continue
        fits[stain].append((fit_macenko(pixels, white), fit_reinhard(pixels, white)))
    return {
        stain: {
            "macenko": choose_medoid([pair[0] for pair in pairs], ("matrix", "maximum", "white")),
            "reinhard": choose_medoid([pair[1] for pair in pairs], ("mean", "deviation", "glass")),
            "slides": len(pairs),
            "rejected": rejected.get(stain, 0),
        }
        for stain, pairs in sorted(fits.items())
    }


def write_reference(
    slides: list[tuple[Path, dict[str, Any], str]], settings: dict[str, Any], out: Path
) -> dict[str, Any]:
    """Fit the reference and write it as JSON.

    Returns
    -------
    dict
        Figures: slides fitted by stain.

    Raises
    ------
    Rejected
        When no slide could be fitted.
    """
    reference = fit_reference(slides, settings)
    if not any(entry["slides"] for entry in reference.values()):
        raise Rejected("no slide set apart can be read, so there is no reference for the stains")
    out.write_text(json.dumps(reference, sort_keys=True, indent=2) + "\n", encoding="utf-8")
    return {
        "slides": {stain: entry["slides"] for stain, entry in reference.items()},
        "rejected_slides": sum(entry["rejected"] for entry in reference.values()),
    }


def read_reference(path: Path | None, settings: dict[str, Any], modality: str) -> dict[str, dict[str, Any]] | None:
    """Read the reference that an image is normalised to.

    Parameters
    ----------
    path
        The object of the stage `reference`, or None where there is none.
    settings
        The configuration's `om`; `reference` names a file where it is not `cohort`.
    modality
        Only OM has a reference.

    Returns
    -------
    dict or None
        As :func:`fit_reference`; None where nothing is normalised, or the cohort gave no reference.
    """
    if modality != "OM" or settings["normalisation"] == "none":
        return None
    source = path if settings["reference"] == "cohort" else Path(settings["reference"])
    if source is None:
        return None
    try:
        reference = json.loads(Path(source).read_text(encoding="utf-8"))
        return {stain: entry for stain, entry in reference.items() if isinstance(entry, dict)}
    except (OSError, ValueError, AttributeError) as fault:
        raise NephroscaleError(
            f"The reference stains cannot be read: {fault}.",
            where=str(source),
            todo="Correct om.reference in the configuration.",
        ) from fault


def _sample(
    path: Path, facts: dict[str, Any], stain: str, settings: dict[str, Any]
) -> tuple[np.ndarray, tuple[float, ...]]:
    with open_slide(path, facts["reader"]) as reader:
        scales = find_scales(reader, facts, {"roi": "whole"} if facts["scale"]["value"] is None else {}, settings)
        overview = ScaledView(reader, scales.overview, fill=WHITE).overview()
        found = find_bright_tissue(
            overview.pixels, overview.valid, scales.overview_mpp or float(settings["tissue_mpp"]), stain
        )
        view = ScaledView(reader, scales.tile, fill=WHITE)
        grid = make_grid(view, found.tissue, overview.unreadable, scales.ratio, settings)
        white = estimate_white_point(overview.pixels, overview.valid & ~found.pen)
        return sample_tissue(view, grid, found.tissue, scales.ratio), white


def choose_medoid(fits: list[Fit], keys: tuple[str, ...]) -> Fit | None:
    """Choose the fit that is least far from all others, the median of several dimensions.

    A fit of one real slide, since a median element by element may be a stain that there is not: between a pink and a
    green counterstain it is grey.

    Parameters
    ----------
    fits
        Fits of one kind; those with a fault do not count.
    keys
        Their values that are compared, each by its spread among the fits.

    Returns
    -------
    dict or None
        One of the fits, the first of equals; None where none is good.
    """
    good = [fit for fit in fits if not fit["fault"]]
    if not good:
        return None
    values = np.array([np.concatenate([np.ravel(fit[key]) for key in keys]) for fit in good])
    values /= np.maximum(
        np.median(np.abs(values - np.median(values, axis=0)), axis=0), 1e-3 * np.abs(values).max(0) + 1e-9
    )
    distances = np.abs(values[:, None] - values[None]).sum((1, 2))
    return good[int(np.argmin(np.round(distances, DIGITS)))]
