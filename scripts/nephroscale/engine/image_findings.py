"""Findings about single images for the last screen: copies, scales, saturation, stains, and what was left out."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from nephroscale.slides.duplicates import find_alike, identity_rows, read_identities

if TYPE_CHECKING:
    from nephroscale.engine.plan import Plan
    from nephroscale.slides.duplicates import AlikeImages

MOST_SATURATED = 0.01  # share of the pixels of tissue
MOST_EXPOSED = 50.0  # longest by shortest exposure of one marker; seconds for milliseconds are 1000 times

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
    facts = read_identities(plan.object_path("register", patient) for patient in patients)
    return find_alike(identity_rows(plan.cohort, patients), facts)


def describe_findings(plan: Plan) -> dict[str, Findings]:
    """Give the sections of the last screen about single images: title to findings.

    Parameters
    ----------
    plan
        Its receipts are read.
    """
    copies: Findings = defaultdict(list)
    for pair in find_duplicates(plan):
        if pair.is_fault:
            copies[pair.likeness].append(pair.names)
    return {
        "The same image under two patients": copies,
        "Scales of one image that differ by more than 5 %": _differing_scales(plan),
        "Saturated images": _saturated(plan),
        "Exposures of one marker that differ by more than 50 times": _differing_exposures(plan),
        "TEM images left out": _left_out(plan),
        "Outlines left out": _outlines_left_out(plan),
        "Stains that the segmenter was not trained on": _unknown_stains(plan),
    }


def _differing_scales(plan: Plan) -> Findings:
    found: Findings = defaultdict(list)
    for patient in plan.units("register") if "register" in plan.stages else []:
        receipt = plan.receipt("register", patient)
        differing = receipt.figures.get("differing_scales") if receipt else None
        for image, scales in differing.items() if isinstance(differing, dict) else []:
            found[str(scales)].append(f"{image} of {patient}")
    return found


def _saturated(plan: Plan) -> Findings:
    found: Findings = defaultdict(list)
    for image in plan.units("tiles") if "tiles" in plan.stages else []:
        receipt = plan.receipt("tiles", image)
        share = receipt.figures.get("saturated_share") if receipt else None
        if isinstance(share, float) and share > MOST_SATURATED:
            found["more than 1 % of the pixels of tissue have the highest value"].append(f"{image} ({share:.0%})")
    return found


def _differing_exposures(plan: Plan) -> Findings:
    """Compare the exposures in the table of images, in which another unit is easily overlooked."""
    markers: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for image in plan.cohort.images.values():
        if image.marker and image.exposure_ms:
            markers[image.marker].append((image.exposure_ms, image.id))
    found: Findings = {}
    for marker, exposures in sorted(markers.items()):
        (shortest, first), (longest, last) = min(exposures), max(exposures)
        if longest > MOST_EXPOSED * shortest:
            found[f"{marker}: {shortest:g} to {longest:g} ms"] = [first, last]
    return found


def _left_out(plan: Plan) -> Findings:
    found: Findings = defaultdict(list)
    for patient in plan.units("tem") if "tem" in plan.stages else []:
        receipt = plan.receipt("tem", patient)
        dropped = receipt.figures.get("dropped") if receipt else None
        for image in dropped if isinstance(dropped, list) else []:
            if isinstance(image, dict):
                found[str(image["reason"])].append(f"{image['id']} of {patient}")
    return found


def _unknown_stains(plan: Plan) -> Findings:
    found: Findings = defaultdict(list)
    for image in plan.units("glomeruli") if "glomeruli" in plan.stages else []:
        receipt = plan.receipt("glomeruli", image)
        if receipt and receipt.figures.get("stain_unknown"):
            reason = f"glomeruli were searched for by the method {receipt.figures['method']}; look at the outlines"
            found[reason].append(image)
    return found


def _outlines_left_out(plan: Plan) -> Findings:
    """Name the files as the tables do: receipts have no names of files."""
    found: Findings = defaultdict(list)
    for stage in {"segmenter", "glomeruli"} & set(plan.stages):
        for unit in plan.units(stage):
            receipt = plan.receipt(stage, unit)
            left_out = receipt.figures.get("outlines_left_out") if receipt else None
            for entry in left_out if isinstance(left_out, list) else []:
                if isinstance(entry, dict):
                    image = plan.cohort.images[str(entry["id"])]
                    file = f"{image.annotation.name} ({image.id})" if image.annotation else image.id
                    found[str(entry["reason"])].append(f"{entry['count']} in {file}" if "count" in entry else file)
    return {reason: sorted(set(files)) for reason, files in sorted(found.items())}
