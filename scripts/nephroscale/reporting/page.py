"""The HTML page of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from nephroscale.cohort.fold_table import FoldTable
from nephroscale.evaluation.comparison import COMPARED_ORDINAL_METRICS, LEAST_DISCORDANT, MOST_ENUMERATED
from nephroscale.evaluation.near_patients import EXPECTED, NearPatients
from nephroscale.evaluation.tables import Predictions
from nephroscale.html import cases_of, template_environment
from nephroscale.reporting.attrition import (
    count_stages,
    describe_searches,
    list_alike_images,
    list_differing_scales,
    list_doubtful_images,
    list_dropped_images,
    list_outlines_left_out,
    list_rejections,
)
from nephroscale.reporting.case_groups import PredictionRow, row_of
from nephroscale.reporting.case_pages import order_cases
from nephroscale.reporting.cohort_summary import CohortSummary
from nephroscale.reporting.external_section import ExternalMetrics
from nephroscale.reporting.facts_of_cases import describe_unread_dates
from nephroscale.reporting.metric_values import Estimate
from nephroscale.reporting.pictures import TemCard, slide_card, tem_cards
from nephroscale.reporting.plots import colour_of
from nephroscale.reporting.report_inputs import ReportInputs, SlidePicture
from nephroscale.reporting.report_metrics import FoldSpread, ModelMetrics, ReportedDifference, ReportMetrics
from nephroscale.reporting.results import ModelResults
from nephroscale.reporting.segmenter_check import describe_segmenter_check
from nephroscale.reporting.settings import ReportSettings
from nephroscale.reporting.study_values import HeadlineMetrics, LeftOutSites, Repeats, TableOne
from nephroscale.reporting.test_set_use import describe_test_set_use

METRIC_NAMES = {
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
    "macro_auc": "Macro AUC",
    "macro_f1": "Macro F1",
}
ORDINAL_METRIC_NAMES = {
    "quadratic_kappa": "Quadratic-weighted kappa",
    "mean_class_error": "Mean absolute error (classes)",
    "one_class_off": "Off by one class",
    "within_one_class": "Off by at most one class",
}
TEMPLATES = Path(__file__).parent / "templates"
MAX_SLIDES = 12
TEM_PATIENTS_PER_CLASS = 3
MOST_NEAR_PATIENTS = 20


@dataclass(frozen=True)
class ReportContent:
    """Results that the page shows; `further` has further metrics of the headline model."""

    folds: FoldTable
    cohort: CohortSummary
    models: dict[str, ModelResults]
    metrics: ReportMetrics
    external: dict[str, ExternalMetrics]
    further: HeadlineMetrics
    table_one: TableOne
    repeats: Repeats | None
    left_out_sites: LeftOutSites | None
    near_patients: list[NearPatients]

    @property
    def leading(self) -> ModelMetrics:
        """Metrics of the headline model."""
        return self.metrics.models[self.metrics.headline]

    @property
    def patients(self) -> list[PredictionRow]:
        """Out-of-fold predictions of the headline model."""
        pooled = self.models[self.metrics.headline].pooled
        return _patient_rows(pooled, self.metrics.classes) if pooled else []

    @property
    def external_patients(self) -> list[PredictionRow]:
        """Predictions of external cases by the ensemble of the headline model."""
        found = self.external.get(self.metrics.headline)
        return [row_of(case) for case in (found.cases if found else [])]


class BestSingle(NamedTuple):
    """Best model of a single modality, its balanced accuracy and the difference of the headline model from it."""

    name: str
    value: float
    difference: ReportedDifference


class TemRow(NamedTuple):
    """TEM images of one patient."""

    patient: PredictionRow
    tiles: list[TemCard]


def render_page(
    content: ReportContent,
    inputs: ReportInputs,
    settings: ReportSettings,
    plots: Mapping[str, str],
    suspects: int = 0,
) -> str:
    """Render the page.

    Parameters
    ----------
    content
        Results of the models.
    inputs
        Inputs of the report, for the attrition and the pictures.
    settings
        Title and notes.
    plots
        Name to SVG data URI; `flow` to an SVG.
    suspects
        Number of cases whose label the headline model doubts.
    """
    metrics, models = content.metrics, content.models
    results, classes = models[metrics.headline], metrics.classes
    pooled = results.pooled
    compared = METRIC_NAMES | ({m: ORDINAL_METRIC_NAMES[m] for m in COMPARED_ORDINAL_METRICS} if inputs.ordinal else {})
    page = {
        "title": settings.title,
        "notes": [
            *settings.notes,
            *_corrections(inputs),
            *describe_unread_dates(inputs),
            *describe_searches(inputs.stages),
            *describe_segmenter_check(inputs.stages),
            *inputs.missing_twins,
            *describe_test_set_use(inputs.test_set_uses, len(models)),
            *([f"External patients: {inputs.external_opened}."] if inputs.external_opened else []),
        ],
        "repeats": content.repeats,
        "left_out_sites": content.left_out_sites,
        "near_patients": content.near_patients,
        "most_near_patients": MOST_NEAR_PATIENTS,
        "expected_near_patients": EXPECTED,
        "table_one": content.table_one,
        "suspects": suspects,
        "trained": inputs.trained,
        "trainings": sum(unit.accepted for unit in inputs.stages.get("train", ())),
        "reference": settings.reference_standard,
        "metrics": metrics,
        "primary": metrics.primary,
        "unfinished": {name: found for name, found in metrics.models.items() if found.last_epoch},
        "networks": len(content.leading.networks.get("accuracy", [])),
        "least_discordant": LEAST_DISCORDANT,
        "most_enumerated": MOST_ENUMERATED,
        "cohort": content.cohort,
        "people": len(set(map(content.folds.person, content.folds.labels))),
        "external": content.external,
        "further": content.further,
        "shortcut": content.further.shortcut,
        "subgroups": content.further.subgroups,
        "smallest_subgroup": settings.smallest_subgroup,
        "metric_names": METRIC_NAMES,
        "ordinal_names": ORDINAL_METRIC_NAMES,
        "compared_names": compared,
        "models": models,
        "headline": metrics.headline,
        "leading": content.leading,
        "best_single": _best_single(metrics, models),
        "colours": {name: colour_of(c) for c, name in enumerate(classes)},
        "plots": plots,
        "patients": content.patients,
        "pages": {row.id for row in order_cases(content.patients)[: settings.case_pages]},
        "external_pages": {row.id for row in order_cases(content.external_patients)[: settings.case_pages]},
        "stages": count_stages(inputs.stages),
        "rejections": list_rejections(inputs.stages, content.cohort.excluded),
        "dropped_images": list_dropped_images(inputs.stages),
        "outlines_left_out": list_outlines_left_out(inputs.stages),
        "alike_images": list_alike_images(inputs.stages),
        "differing_scales": list_differing_scales(inputs.stages),
        "doubtful_images": list_doubtful_images(inputs.stages),
        "slides": [slide_card(slide) for slide in _choose_slides(inputs.slides)],
        "slides_total": len(inputs.slides),
        "tem": _tem_rows(results, pooled, classes, inputs.tem) if pooled else [],
        "tem_total": len(inputs.tem.keys() & set(pooled.patients)) if pooled else 0,
        "tem_per_class": TEM_PATIENTS_PER_CLASS,
    }
    environment = template_environment(
        TEMPLATES,
        value=format_value,
        interval=format_interval,
        spread=format_spread,
        signed=format_signed,
        p_value=format_p_value,
        cases_of=cases_of,
        lower_first=lambda text: text[:1].lower() + text[1:],
    )
    return environment.get_template("report.html.j2").render(page)


def format_value(value: float | None, digits: int = 3) -> str:
    """Format a value, or a dash where it is not defined."""
    return "–" if value is None else f"{value:z.{digits}f}".replace("-", "−")


def format_interval(found: Estimate) -> str:
    """Format an interval; empty where it is not defined."""
    return "" if found.low is None else f"{found.low:.3f}–{found.high:.3f}"


def format_spread(found: FoldSpread) -> str:
    """Format mean ± standard deviation."""
    spread = "" if found.sd is None else f" ± {found.sd:.3f}"
    return "–" if found.mean is None else f"{found.mean:.3f}{spread}"


def format_signed(value: float | None) -> str:
    """Format a difference with its sign."""
    return "–" if value is None else f"{round(value, 3) + 0.0:+.3f}".replace("-", "−")


def format_p_value(value: float) -> str:
    """Format a p-value."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _best_single(metrics: ReportMetrics, models: Mapping[str, ModelResults]) -> BestSingle | None:
    """Choose the best model of one modality among those compared with the headline model."""
    scores = {
        name: value
        for name, found in metrics.models.items()
        if len(models[name].modalities) == 1
        and name in metrics.comparisons
        and (value := found.pooled["balanced_accuracy"].value) is not None
    }
    if not scores:
        return None
    best = max(scores, key=lambda name: scores[name])
    return BestSingle(best, scores[best], metrics.comparisons[best]["balanced_accuracy"])


def _patient_rows(pooled: Predictions, classes: Sequence[str]) -> list[PredictionRow]:
    second = pooled.labels if pooled.second is None else pooled.second
    return [
        PredictionRow(
            id=patient,
            true=classes[label] if other == label else f"{classes[label]} or {classes[other]}",
            predicted=classes[int(probabilities.argmax())],
            right=int(probabilities.argmax()) in {label, other},
            probabilities=[round(float(p), 3) for p in probabilities],
            certainty=round(float(probabilities.max()), 3),
        )
        for patient, label, other, probabilities in zip(
            pooled.patients, pooled.labels.tolist(), second.tolist(), pooled.probabilities, strict=True
        )
    ]


def _corrections(inputs: ReportInputs) -> list[str]:
    """State how many slides a person outlined, since these are no detections."""
    slides = inputs.stages.get("glomeruli", ())
    outlined = sum(unit.figures.get("method") == "annotation" for unit in slides)
    if not outlined:
        return []
    return [f"Glomeruli of {outlined} of {len(slides)} slides and fields were outlined by a person."]


def _choose_slides(slides: Sequence[SlidePicture]) -> list[SlidePicture]:
    """Choose the slides to show: outlined ones first, one of each patient before a second one, by id."""
    ordered = sorted(slides, key=lambda slide: (slide.overlay is None, slide.patient_id, slide.image_id))
    seen: dict[str, int] = {}
    ranked = []
    for place, slide in enumerate(ordered):
        turn = seen[slide.patient_id] = seen.get(slide.patient_id, -1) + 1
        ranked.append((slide.overlay is None, turn, place, slide))
    chosen = sorted(ranked, key=lambda entry: entry[:3])[:MAX_SLIDES]
    return sorted((slide for *_, slide in chosen), key=lambda slide: (slide.patient_id, slide.image_id))


def _tem_rows(
    results: ModelResults, pooled: Predictions, classes: Sequence[str], bags: Mapping[str, Path]
) -> list[TemRow]:
    """Choose patients of each class, wrong predictions first, with the weights of the first seed's network."""
    instances = results.first_instances
    shown = [row for row in _patient_rows(pooled, classes) if row.id in bags and row.id in instances]
    shown.sort(key=lambda row: (row.right, row.id))
    return [
        TemRow(patient, tem_cards(bags[patient.id], instances[patient.id]))
        for name in classes
        for patient in [row for row in shown if row.true == name][:TEM_PATIENTS_PER_CLASS]
    ]
