"""Findings about single images for the final summary: copies, scales, saturation, stains, and what was left out."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

from nephroscale.collect import grouped
from nephroscale.engine.plan import Plan
from nephroscale.slides.duplicates import AlikeImages, find_alike, identity_rows, read_identities

MOST_SATURATED = 0.01  # share of the pixels of tissue
MOST_EXPOSED = 50.0  # longest by shortest exposure of one marker; seconds for milliseconds are 1000 times
USUAL_MS = (0.5, 20_000.0)  # median exposure of a marker's images

Findings = dict[str, list[str]]
"""Reason to the images that it concerns."""


def find_duplicates(plan: Plan) -> list[AlikeImages]:
    """Compare the images of all patients who are registered, new ones included.

    Parameters
    ----------
    plan
        Its receipts and objects of `register` are read; no raw file is.

    Returns
    -------
    list of AlikeImages
        Also equal files of one patient, and similar images; those that stop the run have `is_fault`.
    """
    if "register" not in plan.stages:
        return []
    patients = [unit for unit in plan.units("register") if plan.receipt("register", unit)]
    return find_alike(
        identity_rows(plan.cohort, patients),
        read_identities(plan.object_path("register", patient) for patient in patients),
    )


def describe_findings(plan: Plan) -> dict[str, Findings]:
    """Give the sections of the final summary about single images: title to findings.

    Parameters
    ----------
    plan
        Its receipts are read.
    """
    faults = (pair for pair in find_duplicates(plan) if pair.is_fault)
    return {
        "The same image under two patients": grouped((pair.likeness, pair.names) for pair in faults),
        "Scales of one image that differ by more than 5 %": grouped(
            (str(scales), f"{image} of {patient}")
            for patient, differing in _figures(plan, "register", "differing_scales")
            for image, scales in differing.items()
        ),
        "Images to check": _doubtful(plan),
        "Saturated images": _saturated(plan),
        "Exposures of one marker that differ by more than 50 times": _differing_exposures(plan),
        "Exposures that seem to have another unit than milliseconds": _unusual_exposures(plan),
        "TEM images left out": grouped(
            (str(image["reason"]), f"{image['id']} of {patient}")
            for patient, dropped in _figures(plan, "tem", "dropped")
            for image in dropped
        ),
        "Outlines left out": _outlines_left_out(plan),
        "Stains and markers that the segmenter was not trained on": _unknown_stains(plan),
    }


def _figures(plan: Plan, stage: str, name: str) -> Iterator[tuple[str, Any]]:
    """Give each made unit of a stage with one figure of its receipt, unless this is absent or zero."""
    for unit in plan.units(stage) if stage in plan.stages else []:
        receipt = plan.receipt(stage, unit)
        if receipt and receipt.figures.get(name):
            yield unit, receipt.figures[name]


def _doubtful(plan: Plan) -> Findings:
    images = plan.cohort.images
    found = grouped(
        (str(doubt), f"{image} of {images[image].patient_id}")
        for stage in ("register", "tiles", "segmenter", "segmenter_im", "glomeruli")
        for _, doubts in _figures(plan, stage, "doubtful_images")
        for image, doubt in doubts.items()
    )
    return {doubt: sorted(set(names)) for doubt, names in found.items()}


def _saturated(plan: Plan) -> Findings:
    shares = _figures(plan, "tiles", "saturated_share")
    reason = "more than 1 % of the pixels of tissue have the highest value, or one beyond it by their exposure_ms"
    return grouped((reason, f"{image} ({share:.0%})") for image, share in shares if share > MOST_SATURATED)


def _differing_exposures(plan: Plan) -> Findings:
    """Compare the exposures of each marker, in which another unit is easily overlooked."""
    found: Findings = {}
    for marker, exposures in _exposures(plan).items():
        (shortest, first), (longest, last) = min(exposures), max(exposures)
        if longest > MOST_EXPOSED * shortest:
            found[f"{marker}: {shortest:g} to {longest:g} ms"] = [first, last]
    return found


def _unusual_exposures(plan: Plan) -> Findings:
    """Find markers whose exposures are all of an unusual order, so that no other one shows it."""
    found: Findings = {}
    for marker, exposures in _exposures(plan).items():
        middle = median(exposure for exposure, _ in exposures)
        if not USUAL_MS[0] <= middle <= USUAL_MS[1]:
            (shortest, first), (longest, last) = min(exposures), max(exposures)
            unit = "seconds" if middle < USUAL_MS[0] else "microseconds"
            reason = f"{marker}: {shortest:g} to {longest:g} ms; if these are {unit}, correct exposure_ms"
            found[reason] = list(dict.fromkeys([first, last]))
    return found


def _exposures(plan: Plan) -> dict[str, list[tuple[float, str]]]:
    """Give each marker's exposures, ms, with their images: of the table, otherwise of the file."""
    stated = {
        name: exposure
        for _, exposures in _figures(plan, "register", "stated_exposures")
        for name, exposure in exposures.items()
    }
    markers = grouped(
        (image.marker, (float(exposure), image.id))
        for image in plan.cohort.images.values()
        if image.marker and (exposure := image.exposure_ms or stated.get(image.id))
    )
    return dict(sorted(markers.items()))


def _unknown_stains(plan: Plan) -> Findings:
    methods = dict(_figures(plan, "glomeruli", "method"))
    return grouped(
        (f"the method {methods[image]} searched for glomeruli; check the outlines", image)
        for image, _ in _figures(plan, "glomeruli", "stain_unknown")
    )


def _outlines_left_out(plan: Plan) -> Findings:
    """Name the files as the tables do: receipts have no names of files."""
    entries = (
        (entry, plan.cohort.images[str(entry["id"])])
        for stage in ("segmenter", "segmenter_im", "glomeruli")
        for _, left_out in _figures(plan, stage, "outlines_left_out")
        for entry in left_out
    )
    named = (
        (entry, f"{image.annotation.name} ({image.id})" if image.annotation else image.id) for entry, image in entries
    )
    found = grouped((str(e["reason"]), f"{e['count']} in {file}" if "count" in e else file) for e, file in named)
    return {reason: sorted(set(files)) for reason, files in sorted(found.items())}
