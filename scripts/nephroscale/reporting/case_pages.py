"""A page per case beside the report: pictures, weights and predictions, wrong predictions first."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nephroscale.collect import grouped
from nephroscale.deposits.predictions import read_predictions
from nephroscale.deposits.settings import COMBINED
from nephroscale.html import template_environment
from nephroscale.reporting.attention import Attended, DeletionTest, attention_cards, pool_deletions, read_attended
from nephroscale.reporting.case_groups import CaseGroup, PredictionRow, of_external, of_folds
from nephroscale.reporting.patients_table import list_missing, list_rejected
from nephroscale.reporting.pictures import CropCard, SlideCard, crop_cards, slide_card, tem_cards
from nephroscale.reporting.plots import colour_of
from nephroscale.reporting.report_inputs import CaseInputs, ListedCase, ListedImage, ReportInputs, SlidePicture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nephroscale.reporting.external_section import ExternalMetrics
    from nephroscale.reporting.results import ModelResults

TEMPLATES = Path(__file__).parent / "templates"
FOLDER = "cases"
OXFORD, ISN_RPS = 8, 10
"""Glomeruli that the Oxford classification (IgA nephropathy) and ISN/RPS (lupus nephritis) ask for."""
SLIDE_PX, FIELD_PX, TEM_PX = 1200, 640, 512


class OmCard(NamedTuple):
    """An OM slide with the crops of its glomeruli; `counted` names who found the glomeruli."""

    slide: SlideCard
    counted: str
    crops: list[CropCard]


class ImCard(NamedTuple):
    """An IM field with what the tables have about it."""

    field: SlideCard
    image: ListedImage


def order_cases(patients: Sequence[PredictionRow]) -> list[PredictionRow]:
    """Order cases: wrong predictions, the most certain one first; then right ones, the least certain first."""
    return sorted(patients, key=lambda row: (row.right, row.certainty if row.right else -row.certainty, row.id))


def write_case_pages(
    out: Path,
    inputs: ReportInputs,
    models: Mapping[str, ModelResults],
    headline: str,
    patients: Sequence[PredictionRow],
    *,
    title: str,
    external: Sequence[PredictionRow] = (),
    metrics: Mapping[str, ExternalMetrics] | None = None,
) -> None:
    """Write `cases/<case>.html` for some cases.

    Parameters
    ----------
    out
        Folder of the report.
    inputs
        Inputs of the report.
    models
        Results of each model.
    headline
        The model whose predictions and weights are shown.
    patients
        Its out-of-fold predictions, in the order of the pages.
    title
        Title of the report.
    external
        Its predictions of external cases, in the order of their pages, which follow those of the folds.
    metrics
        Model to its results on external cases.
    """
    results = models[headline]
    runs = inputs.models[headline].runs
    tests = pool_deletions(runs, {case: row.person for case, row in inputs.cases.items() if row.person})
    groups = [of_folds(models, results, patients)]
    if external:
        groups.append(of_external(inputs, models, headline, external, metrics or {}))
    write_groups(
        out,
        inputs,
        groups,
        headline,
        results.modalities,
        title=title,
        seeds=len({run.seed for run in results.runs if run.predictions}),
        tests=tests,
        attended=read_attended(runs) if tests else {},
    )


def write_groups(
    out: Path,
    inputs: CaseInputs,
    groups: Sequence[CaseGroup],
    model: str,
    modalities: Sequence[str],
    *,
    title: str,
    seeds: int = 1,
    tests: Mapping[str, DeletionTest] | None = None,
    attended: Mapping[str, Attended] | None = None,
) -> None:
    """Write `cases/<case>.html` for some groups of cases.

    Parameters
    ----------
    out
        Folder of the report, or of the pages of a batch.
    inputs
        Pictures, tables and outcomes of the cases.
    groups
        The cases with their predictions.
    model, modalities
        The model that predicted them, and what it reads.
    title
        Title of the report.
    seeds
        Number of networks of a fold.
    tests, attended
        Modality to the deletion test of its attention, and case to its attention; None where it is not shown.
    """
    (out / FOLDER).mkdir()
    deposits = _read_deposits(inputs.deposits)
    missing, rejected = list_missing(inputs), list_rejected(inputs)
    slides, fields = (
        grouped((slide.patient_id, slide) for slide in sorted(found, key=lambda slide: slide.image_id))
        for found in (inputs.slides, inputs.fields)
    )
    crops = {picture.image_id: picture.crops for picture in [*inputs.slides, *inputs.fields] if picture.crops}
    template = template_environment(TEMPLATES, value=_format_value).get_template("case.html.j2")
    classes = list(inputs.classes)
    for group in groups:
        shown = group.patients
        for place, patient in enumerate(shown):
            case = patient.id
            own = slides.get(case, [])
            attention = (attended or {}).get(case)
            page = {
                "title": title,
                "attention": {
                    modality: (test, cards)
                    for modality, test in (tests or {}).items()
                    if attention and modality in attention.maps
                    if (cards := attention_cards(attention, modality, crops))
                },
                "patient": patient,
                "case": inputs.cases.get(case) or ListedCase("diagnosis"),
                "group": group,
                "ensemble": group.ensemble.get(case),
                "before": shown[place - 1].id if place else None,
                "after": shown[place + 1].id if place + 1 < len(shown) else None,
                "number": place + 1,
                "total": len(shown),
                "classes": classes,
                "colours": {name: colour_of(c) for c, name in enumerate(classes)},
                "headline": model,
                "seeds": seeds,
                "several": len(modalities) > 1,
                "rows": group.rows(patient, modalities),
                "removable": case in group.removed,
                "alone": group.alone(case),
                "missing": missing.get(case, []),
                "rejected": rejected.get(case, []),
                "glomeruli": _count_glomeruli(own),
                "slides": [
                    OmCard(slide_card(slide, SLIDE_PX), _counter(slide), crop_cards(slide.crops) if slide.crops else [])
                    for slide in own
                ],
                "fields": [
                    ImCard(slide_card(picture, FIELD_PX), inputs.images[picture.image_id])
                    for picture in fields.get(case, [])
                    if picture.image_id in inputs.images
                ],
                "tem": tem_cards(inputs.tem[case], group.weights.get(case, []), TEM_PX) if case in inputs.tem else [],
                "weighted": case in group.weights,
                "deposits": deposits,
            }
            (out / FOLDER / f"{case}.html").write_text(template.render(page) + "\n", encoding="utf-8")


def _format_value(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:z.{digits}f}"


def _count_glomeruli(slides: Sequence[SlidePicture]) -> dict[str, object] | None:
    """Count the glomeruli of the section with the most, and describe how classifications judge that number."""
    counted = [slide for slide in slides if slide.fullest_section is not None]
    if not counted:
        return None
    fullest = max(counted, key=lambda slide: slide.fullest_section or 0)
    count = fullest.fullest_section or 0
    asked = {"the Oxford classification (IgA nephropathy)": OXFORD, "ISN/RPS (lupus nephritis)": ISN_RPS}
    return {
        "count": count,
        "image": fullest.image_id,
        "total": fullest.glomeruli,
        "sclerosed": fullest.fullest_sclerosed,
        "by": _counter(fullest),
        "few": [f"{least} that {name} asks for" for name, least in asked.items() if count < least],
    }


def _counter(slide: SlidePicture) -> str:
    return "outlined by a person" if slide.outlined else "the segmenter's count"


def _read_deposits(folders: Sequence[tuple[str, Path]]) -> dict[str, dict[str, float]]:
    """Image to site to the probability of deposits on the test side, averaged over seeds; of both systems joined."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for site, folder in folders:
        for row in read_predictions(folder):
            if row.probabilities:
                chosen = COMBINED if COMBINED in row.probabilities else next(iter(row.probabilities))
                found[row.image][site].append(row.probabilities[chosen])
    return {image: {site: float(np.mean(several)) for site, several in sites.items()} for image, sites in found.items()}
