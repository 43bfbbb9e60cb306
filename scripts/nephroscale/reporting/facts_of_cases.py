"""Facts of cases beside the content of their images: how they were acquired, and what pathologists read."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from nephroscale.cohort.parse import date
from nephroscale.collect import grouped
from nephroscale.reporting.report_inputs import ListedCase, ListedImage, ReportInputs
from nephroscale.slides.facts import read_facts

MODALITIES = ("TEM", "OM", "IM")

Facts = dict[str, dict[str, float]]
"""Case to fact to value; a fact that is not known is absent."""


def collect_acquisition(inputs: ReportInputs, cases: Iterable[str]) -> Facts:
    """Collect how the images of each case were acquired.

    These are the site, the scanner, and the dates in the table of patients (day and year); for each marker or stain and
    for TEM the number of images; for each modality the mean size, scale, exposure and gain (logarithms), the formats,
    rejected images, whether it is missing, and the instances in its bag.

    Parameters
    ----------
    inputs
        Inputs of the report.
    cases
        Ids of the cases.
    """
    bags = {unit.bag: unit for unit in inputs.stages.get("features", ())}
    channels = sorted({image.channel for image in inputs.images.values()})
    images = _images_by_case(inputs)
    found: Facts = {}
    kinds: dict[str, set[str]] = {}
    for case in cases:
        listed = inputs.cases.get(case) or ListedCase("diagnosis")
        kinds[case] = {f"site {listed.site}", f"scanner {listed.scanner}"}
        own, path = images.get(case, {}), inputs.registered.get(case)
        described = read_facts(path) if path else {}
        dates = {name: day for name, cell in listed.dates.items() if (day := date(cell))}
        kinds[case] |= {f"{name} in {day.year}" for name, day in dates.items()}
        facts = {f"{name} day": float(day.toordinal()) for name, day in dates.items()}
        facts |= {f"{name} images": float(sum(each.channel == name for each in own.values())) for name in channels}
        for modality in MODALITIES:
            chosen = {name: image for name, image in own.items() if image.modality == modality}
            files = [described[name] for name in chosen if name in described]
            usable = [fact for fact in files if fact.status == "accepted"]
            facts[f"{modality} rejected images"] = float(len(files) - len(usable))
            kinds[case] |= {f"{modality} {fact.vendor} {fact.dtype}" for fact in usable}
            measured: dict[str, list[float | None]] = {
                "size": [fact.width * fact.height for fact in usable],
                "scale": [fact.scale.value for fact in usable if fact.scale],
                "exposure": [image.exposure_ms for image in chosen.values()],
                "gain": [image.gain for image in chosen.values()],
            }
            for what, values in measured.items():
                if known := [value for value in values if value]:
                    facts[f"{modality} {what}"] = float(np.mean(np.log(known)))
            if unit := bags.get((case, modality)):
                instances = unit.figures.get("instances")
                facts[f"{modality} missing"] = float(not unit.accepted)
                facts[f"{modality} instances"] = float(instances) if isinstance(instances, int) else 0.0
        found[case] = facts
    every = set().union(*kinds.values())
    return {case: facts | {kind: float(kind in kinds[case]) for kind in every} for case, facts in found.items()}


def describe_unread_dates(inputs: ReportInputs) -> list[str]:
    """Name the columns of dates with cells that are no dates, in sentences."""
    unread = grouped(
        (name, f"{cell!r} of {case}")
        for case, listed in sorted(inputs.cases.items())
        for name, cell in listed.dates.items()
        if date(cell) is None
    )
    return [
        f"Cells of the column {name} of the table of patients that cannot be read as dates: {len(cells)} (first: "
        f"{cells[0]}). They count as unknown; write them as 2024-05-31."
        for name, cells in unread.items()
    ]


def collect_readings(inputs: ReportInputs, cases: Iterable[str]) -> Facts:
    """Collect the grades of the markers of each case: the largest one of its images, and 0 for a negative marker."""
    images, found = _images_by_case(inputs), {}
    for case in cases:
        grades = {f"{marker} grade": 0.0 for marker in (inputs.cases.get(case) or ListedCase("diagnosis")).negatives}
        for image in images.get(case, {}).values():
            if image.grade is not None:
                name = f"{image.channel} grade"
                grades[name] = max(image.grade, grades.get(name, 0.0))
        found[case] = grades
    return found


def _images_by_case(inputs: ReportInputs) -> dict[str, dict[str, ListedImage]]:
    images = grouped((image.case, (name, image)) for name, image in sorted(inputs.images.items()))
    return {case: dict(found) for case, found in images.items()}
