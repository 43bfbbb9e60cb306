"""What pages of cases are made from: rows of the tables, outcomes of units, and pictures of slides and fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nephroscale.collect import grouped
from nephroscale.reporting.report_inputs import ListedImage, SlidePicture, UnitOutcome
from nephroscale.stages.units import PatientModality

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from nephroscale.cohort.image import Image
    from nephroscale.cohort.patient import Patient
    from nephroscale.engine.job import JobInput
    from nephroscale.engine.stage import PlanView
    from nephroscale.json_text import JSON


def list_cases(plan: PlanView, cases: Iterable[Patient]) -> dict[str, JSON]:
    """Case id to the fields of :class:`nephroscale.reporting.report_inputs.ListedCase`, sorted by id."""
    report = plan.config.report
    return {
        case.id: {
            "use": case.use,
            "label": case.label,
            "second": case.second,
            "person": case.person,
            "biopsy": case.biopsy,
            "reason": case.reason,
            "site": case.site,
            "scanner": case.scanner,
            "negatives": [negative.marker for negative in plan.cohort.negatives_of(case.id)],
            "columns": {
                name: cell
                for name in report.subgroups
                if (cell := {**case.columns, "site": case.site, "scanner": case.scanner}.get(name))
            },
            "dates": {name: cell for name in report.dates if (cell := case.columns.get(name))},
        }
        for case in sorted(cases, key=lambda case: case.id)
    }


def list_images(images: Iterable[Image]) -> dict[str, JSON]:
    """Image id to the fields of :class:`nephroscale.reporting.report_inputs.ListedImage`, sorted by id."""
    return {
        image.id: {
            "case": image.patient_id,
            "modality": image.modality,
            "channel": image.marker or image.stain or image.modality,
            "exposure_ms": image.exposure_ms,
            "gain": image.gain,
            "grade": image.grade,
        }
        for image in sorted(images, key=lambda image: image.id)
    }


def collect_outcomes(inputs: Iterable[JobInput]) -> tuple[dict[str, list[UnitOutcome]], dict[tuple[str, str], Path]]:
    """Sort what a job reads: stage to the outcomes of its units, and stage and unit to the object."""
    read = [(each.receipt, each.path) for each in inputs]
    outcomes = (
        (r.stage, UnitOutcome(r.unit, r.status, r.reason, r.figures, _bag(r.unit) if r.stage == "features" else None))
        for r, _ in read
    )
    return grouped(outcomes), {(receipt.stage, receipt.unit): path for receipt, path in read if path}


def _bag(unit: str) -> tuple[str, str]:
    patient, modality = PatientModality.parse(unit)
    return patient, modality


def list_pictures(
    stages: Mapping[str, Sequence[UnitOutcome]],
    objects: Mapping[tuple[str, str], Path],
    images: Mapping[str, ListedImage],
) -> tuple[list[SlidePicture], list[SlidePicture]]:
    """Find the pictures of all OM slides and fields, and of all IM fields."""
    found = [
        picture for unit in stages.get("glomeruli", []) if (picture := _picture(unit, objects, images[unit.name].case))
    ]
    om, im = ([each for each in found if images[each.image_id].modality == name] for name in ("OM", "IM"))
    return om, im


def _picture(unit: UnitOutcome, objects: Mapping[tuple[str, str], Path], case: str) -> SlidePicture | None:
    """Find the pictures of a slide or field; the overlay has a scale bar of its own."""
    tiles, glomeruli = objects.get(("tiles", unit.name)), objects.get(("glomeruli", unit.name))
    if tiles is None:
        return None
    count = unit.figures.get("glomeruli")
    fullest = unit.figures.get("fullest_section", count)
    sclerosed = unit.figures.get("fullest_sclerosed")
    return SlidePicture(
        image_id=unit.name,
        patient_id=case,
        thumbnail=tiles / "thumbnail.png",
        overlay=glomeruli / "overlay.png" if glomeruli else None,
        glomeruli=count if isinstance(count, int) else None,
        fullest_section=fullest if isinstance(fullest, int) else None,
        fullest_sclerosed=sclerosed if isinstance(sclerosed, int) else None,
        outlined=unit.figures.get("method") == "annotation",
        crops=glomeruli / "crops" if glomeruli else None,
        tiles=tiles,
    )
