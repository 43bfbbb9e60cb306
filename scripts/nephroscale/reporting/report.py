"""The report: an HTML page, its metrics as JSON and its plots."""

from __future__ import annotations

import json
from pathlib import Path

from nephroscale.cohort.fold_table import read_folds
from nephroscale.html import cases_of
from nephroscale.reporting.attrition import list_rejections
from nephroscale.reporting.case_pages import order_cases, write_case_pages
from nephroscale.reporting.cohort_summary import summarise_cohort
from nephroscale.reporting.contact_sheet import write_contact_sheet
from nephroscale.reporting.external_section import summarise_external
from nephroscale.reporting.flow_diagram import draw_flow, list_boxes
from nephroscale.reporting.headline_section import summarise_headline
from nephroscale.reporting.label_review import write_label_review
from nephroscale.reporting.metric_values import as_json
from nephroscale.reporting.metrics_json import build_metrics
from nephroscale.reporting.near_features import list_near_patients
from nephroscale.reporting.other_divisions import summarise_left_out_sites, summarise_repeats
from nephroscale.reporting.page import METRIC_NAMES, ReportContent, format_interval, format_value, render_page
from nephroscale.reporting.patients_table import write_patients
from nephroscale.reporting.plots import (
    draw,
    paint_confusion,
    paint_curves,
    paint_decisions,
    paint_models,
    paint_precision,
    paint_reliability,
    paint_roc,
)
from nephroscale.reporting.report_inputs import ReportInputs
from nephroscale.reporting.report_metrics import ReportMetrics
from nephroscale.reporting.results import read_results
from nephroscale.reporting.segmenter_check import summarise_segmenter_check
from nephroscale.reporting.settings import ReportSettings
from nephroscale.reporting.table_one import make_table_one
from nephroscale.reporting.tem_quality import write_tem_quality


def write_report(inputs: ReportInputs, settings: ReportSettings, out: Path, seed: int = 0) -> dict[str, object]:
    """Write `index.html`, `cases/*.html`, `metrics.json`, the tables of cases and of TEM images, `figures/*` and more.

    Parameters
    ----------
    inputs
        Results of the stages before the report.
    settings
        Section `report` of the configuration.
    out
        Folder to create.
    seed
        Seed of the exchanges behind the p-values.

    Returns
    -------
    dict
        `headline` (lines for the end of a run), `model`, `patients`, `rejected` (number of units that were rejected for
        a reason of their own) and the pooled metrics of the headline model.

    Raises
    ------
    NephroscaleError
        When the headline model is not among the models, or evaluations contradict each other.
    """
    (out / "figures").mkdir(parents=True)
    content = _analyse(inputs, settings, seed)
    metrics = content.metrics
    of_im = summarise_segmenter_check(inputs.stages, "IM")
    document = as_json(metrics) | {
        "cohort": as_json(content.cohort),
        "external": as_json(content.external),
        "repeats": as_json(content.repeats),
        "left_out_sites": as_json(content.left_out_sites),
        "near_patients": as_json(content.near_patients),
        "table_one": as_json(content.table_one),
        "segmenter_check": as_json(summarise_segmenter_check(inputs.stages)),
        **({"segmenter_check_im": as_json(of_im)} if of_im else {}),
        "trained": as_json(inputs.trained),
        "reference_standard": settings.reference_standard.to_mapping(),
        **as_json(content.further),
    }
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    (out / "metrics.json").write_text(text, encoding="utf-8")
    write_patients(out / "patients.csv", inputs, content.folds, content.models, metrics.headline)
    write_tem_quality(out / "tem_quality.csv", inputs.tem)
    suspects = write_label_review(out, content.models[metrics.headline].pooled, seed)
    plots = _draw_plots(content, out / "figures")
    plots["flow"] = draw_flow(
        list_boxes(
            inputs.cases,
            content.cohort,
            content.models[metrics.headline].pooled,
            max((found.patients for found in content.external.values()), default=0),
            metrics.classes,
        )
    )
    (out / "figures" / "flow.svg").write_text(plots["flow"] + "\n", encoding="utf-8")
    (out / "index.html").write_text(render_page(content, inputs, settings, plots, suspects) + "\n", encoding="utf-8")
    write_contact_sheet(out / "slides.html", settings.title, inputs.tiles, inputs.images)
    patients, external = (
        order_cases(found)[: settings.case_pages] for found in (content.patients, content.external_patients)
    )
    if patients:
        write_case_pages(
            out,
            inputs,
            content.models,
            metrics.headline,
            patients,
            title=settings.title,
            external=external,
            metrics=content.external,
        )
    rejections = list_rejections(inputs.stages, content.cohort.excluded)
    return {
        "headline": _headline_lines(metrics),
        "model": metrics.headline,
        "patients": content.leading.patients,
        "rejected": sum(len(reason.units) for stage in rejections for reason in stage.reasons),
        **as_json(content.leading.pooled),
    }


def _analyse(inputs: ReportInputs, settings: ReportSettings, seed: int) -> ReportContent:
    """Read the results and compute all metrics."""
    classes = list(inputs.classes)
    folds = read_folds(inputs.folds)
    cohort = summarise_cohort(folds, inputs.test_set_uses)
    every = {name: read_results(name, runs, classes) for name, runs in inputs.models.items()}
    models = {name: results.of_folds(folds.divisions[0]) for name, results in every.items()}
    metrics = build_metrics(
        models,
        classes,
        settings,
        seed=seed,
        ordinal=inputs.ordinal,
        people=folds.people,
    )
    external = {
        name: summarise_external(folder, classes, ordinal=inputs.ordinal) for name, folder in inputs.external.items()
    }
    further = summarise_headline(models[metrics.headline], inputs, settings, folds, seed)
    repeats = summarise_repeats(every, folds, metrics.headline)
    sites = summarise_left_out_sites(every, folds, classes, settings, seed)
    table_one, near = make_table_one(inputs, folds), list_near_patients(inputs, folds)
    return ReportContent(folds, cohort, models, metrics, external, further, table_one, repeats, sites, near)


def _headline_lines(metrics: ReportMetrics) -> list[str]:
    """Summarise the headline model for the end of a run."""
    leading = metrics.models[metrics.headline]
    estimates = {name: leading.pooled[metric] for metric, name in METRIC_NAMES.items()}
    if leading.ordinal:
        estimates["Quadratic kappa"] = leading.ordinal.metrics["quadratic_kappa"]
    cases = cases_of(leading.patients, leading.people)
    return [
        f"{metrics.headline}, one network, {cases}, out of fold (95 % interval):",
        *(
            f"  {name:<18} {format_value(found.value)}  ({format_interval(found) or 'not estimable'})"
            for name, found in estimates.items()
        ),
    ]


def _draw_plots(content: ReportContent, folder: Path) -> dict[str, str]:
    """Draw the plots: name to SVG data URI; plots without data are left out."""
    models, metrics, leading = content.models, content.metrics, content.leading
    plots = {"models": draw("models", (9.6, 0.9 + 0.42 * len(models)), folder, paint_models, metrics, METRIC_NAMES)}
    stacked = models[metrics.headline].stack(content.cohort.people)
    if stacked and leading.confusion:
        plots["roc"] = draw("roc", (4.6, 4.4), folder, paint_roc, stacked.networks, leading.classes)
        plots["precision"] = draw("precision", (4.6, 4.4), folder, paint_precision, stacked.networks, leading.classes)
        plots["confusion"] = draw("confusion", (4.6, 4.4), folder, paint_confusion, leading.confusion, metrics.classes)
        further = content.further
        size = (9.6 if further.decision else 4.8, 3.4)
        plots["decisions"] = draw("decisions", size, folder, paint_decisions, further.confident, further.decision)
        if leading.calibration:
            plots["reliability"] = draw("reliability", (9.6, 3.7), folder, paint_reliability, leading.calibration)
    if any(run.curve for results in models.values() for run in results.runs):
        rows = -(-len(models) // 5)
        size = (9.6 if len(models) > 2 else 4.8 * len(models), 2.3 * rows + 0.2)
        plots["curves"] = draw("curves", size, folder, paint_curves, models, metrics.headline)
    return plots
