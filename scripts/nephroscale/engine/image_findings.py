"""Findings about single images for the last screen: copies, scales that differ, TEM images and outlines left out."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from nephroscale.slides.duplicates import find_alike, identity_rows, read_identities

if TYPE_CHECKING:
    from nephroscale.engine.plan import Plan
    from nephroscale.slides.duplicates import AlikeImages

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
        "TEM images left out": _left_out(plan),
        "Outlines left out": _outlines_left_out(plan),
    }


def _differing_scales(plan: Plan) -> Findings:
    found: Findings = defaultdict(list)
    for patient in plan.units("register") if "register" in plan.stages else []:
        receipt = plan.receipt("register", patient)
        differing = receipt.figures.get("differing_scales") if receipt else None
        for image, scales in differing.items() if isinstance(differing, dict) else []:
            found[str(scales)].append(f"{image} of {patient}")
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
