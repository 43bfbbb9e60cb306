"""The report: one page that holds everything, the numbers beside it, and the plots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nephroscale.evaluation.comparison import COMPARED_STAGES
from nephroscale.html import cases_of, template_environment
from nephroscale.reporting.attrition import count_stages, list_dropped_images, list_rejections
from nephroscale.reporting.external_section import describe_external
from nephroscale.reporting.figures import (
    colour_of,
    draw,
    paint_confusion,
    paint_curves,
    paint_models,
    paint_reliability,
    paint_roc,
)
from nephroscale.reporting.metrics_json import build_metrics
from nephroscale.reporting.pictures import slide_card, tem_tiles
from nephroscale.reporting.results import read_results
from nephroscale.reporting.test_set_use import describe_test_set_use

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nephroscale.evaluation.tables import Predictions
    from nephroscale.reporting.results import ModelResults

METRIC_NAMES = {
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
    "macro_auc": "Macro AUC",
    "macro_f1": "Macro F1",
}
STAGE_NAMES = {
    "quadratic_kappa": "Quadratic-weighted kappa",
    "mean_stage_error": "Mean absolute stage error",
    "one_stage_off": "Exactly one stage off",
    "within_one_stage": "At most one stage off",
}
TEMPLATES = Path(__file__).parent / "templates"
MOST_SLIDES = 12
TEM_PATIENTS_PER_CLASS = 3


def write_report(inputs: Mapping[str, Any], settings: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """Write `index.html`, `metrics.json` and `figures/*.png`.

    Parameters
    ----------
    inputs
        - `title`; `classes`, names in the order of their indices; `notes`, sentences that the page opens with;
          `looks`, fold to the number of configurations ever scored on its test patients;
        - `models`: name to `settings` and `folds`, a list of `fold`, `seed`, `evaluate`, `train` (objects or None);
        - `stages`: stage to its units, each `name`, `status`, `reason`, `figures`, in the order of the stages;
        - `slides`: each `image_id`, `patient_id`, `thumbnail`, `overlay` (or None), `figures`, and `mpp`, µm per pixel
          of the overlay (of the thumbnail, where there is none), if a scale bar is to be drawn, and `tiles`, if the
          tissue is to be outlined;
        - `tem`: patient to the object of `tem`; `folds`: object of `folds`;
        - `ordinal`: whether the classes are stages in their order; `external`: model to its object of `predict`.
    settings
        The section `report` of the configuration (`headline`, `bootstrap`), and `seed` of the bootstrap.
    out
        Folder to create.

    Returns
    -------
    dict
        `headline` (lines for the last screen), `model`, `patients`, `rejected` (units rejected in their own right) and
        the headline model's pooled figures.

    Raises
    ------
    NephroscaleError
        When the headline model is none of the models, or evaluations contradict each other.
    """
    (out / "figures").mkdir(parents=True)
    classes = [str(name) for name in inputs["classes"]]
    folds = _read_folds(inputs["folds"])
    models = {str(name): read_results(str(name), entry, classes) for name, entry in inputs["models"].items()}
    metrics = build_metrics(
        models,
        classes,
        headline=settings["headline"],
        resamples=int(settings["bootstrap"]),
        seed=int(settings.get("seed", 0)),
        ordinal=bool(inputs.get("ordinal")),
        people=folds.get("people"),
    )
    metrics["external"] = {
        name: describe_external(
            path,
            classes,
            resamples=int(settings["bootstrap"]),
            seed=int(settings.get("seed", 0)),
            ordinal=bool(inputs.get("ordinal")),
        )
        for name, path in inputs.get("external", {}).items()
    }
    certain = [label for patient, label in folds["labels"].items() if patient not in folds.get("second", {})]
    counts = {name: certain.count(c) for c, name in enumerate(classes)}
    metrics["cohort"] = {
        "patients": len(folds["labels"]),
        "classes": counts,
        "between": len(folds.get("second", {})),
        "folds": len(folds["folds"]),
        "scheme": folds["scheme"],
        "excluded": folds["excluded"],
        "texts": folds.get("texts", []),
        "mixed": folds.get("mixed", {"policy": None, "patients": {}}),
        "people": folds.get("people", {}),
        "lacking": folds.get("lacking", {}),
        "looks": dict(inputs["looks"]),
    }
    (out / "metrics.json").write_text(
        json.dumps(metrics, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
    )

    leading = metrics["headline"]
    pooled = models[leading].pooled
    rejections = list_rejections(inputs["stages"], folds["excluded"])
    page = {
        "title": inputs["title"],
        "notes": [*inputs["notes"], *describe_test_set_use(inputs["looks"], len(models))],
        "metrics": metrics,
        "metric_names": METRIC_NAMES,
        "stage_names": STAGE_NAMES,
        "compared_names": METRIC_NAMES
        | ({m: STAGE_NAMES[m] for m in COMPARED_STAGES} if inputs.get("ordinal") else {}),
        "models": models,
        "headline": leading,
        "described": metrics["models"][leading],
        "people": len({folds.get("people", {}).get(case, case) for case in folds["labels"]}),
        "best_single": _best_single(metrics, models),
        "colours": {name: colour_of(c) for c, name in enumerate(classes)},
        "figures": _draw_all(metrics, models, pooled, classes, out / "figures"),
        "patients": _patients(pooled, classes) if pooled else [],
        "stages": count_stages(inputs["stages"]),
        "rejections": rejections,
        "dropped_images": list_dropped_images(inputs["stages"]),
        "slides": [slide_card(slide) for slide in _some_slides(inputs["slides"])],
        "slides_total": len(inputs["slides"]),
        "tem": _tem_rows(models[leading], pooled, classes, inputs["tem"]),
        "tem_total": len(inputs["tem"]),
        "tem_per_class": TEM_PATIENTS_PER_CLASS,
    }
    environment = template_environment(TEMPLATES)
    environment.filters |= {"figure": _figure, "interval": _interval, "spread": _spread, "signed": _signed}
    environment.filters |= {"p_value": _p_value, "cases_of": cases_of}
    html = environment.get_template("report.html.j2").render(page)
    (out / "index.html").write_text(html + "\n", encoding="utf-8")
    return {
        "headline": _last_screen(metrics),
        "model": leading,
        "patients": metrics["models"][leading]["patients"],
        "rejected": sum(len(reason["units"]) for group in rejections for reason in group["reasons"]),
        **metrics["models"][leading]["pooled"],
    }


def _read_folds(path: Path) -> dict[str, Any]:
    return json.loads((path / "folds.json" if path.is_dir() else path).read_text(encoding="utf-8"))


def _figure(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _interval(found: Mapping[str, float | None]) -> str:
    return "" if found["low"] is None else f"{found['low']:.3f}–{found['high']:.3f}"


def _spread(found: Mapping[str, Any]) -> str:
    if found["mean"] is None:
        return "–"
    return f"{found['mean']:.3f}" + ("" if found["sd"] is None else f" ± {found['sd']:.3f}")


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{round(value, 3) + 0.0:+.3f}".replace("-", "−")


def _p_value(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _last_screen(metrics: Mapping[str, Any]) -> list[str]:
    leading = metrics["models"][metrics["headline"]]
    lines = [f"{metrics['headline']}, {cases_of(leading['patients'], leading['people'])}, out of fold (95 % interval):"]
    for metric, name in METRIC_NAMES.items():
        found = leading["pooled"][metric]
        lines.append(f"  {name:<18} {_figure(found['value'])}  ({_interval(found) or 'not defined'})")
    if leading["ordinal"]:
        found = leading["ordinal"]["quadratic_kappa"]
        lines.append(f"  {'Quadratic kappa':<18} {_figure(found['value'])}  ({_interval(found) or 'not defined'})")
    return lines


def _best_single(metrics: Mapping[str, Any], models: Mapping[str, ModelResults]) -> dict[str, Any] | None:
    """Pick the best model of one modality, and how much better the headline model is; None where there is none."""
    scores = {
        name: found["pooled"]["balanced_accuracy"]["value"]
        for name, found in metrics["models"].items()
        if len(models[name].settings.get("modalities", [])) == 1 and name in metrics["comparisons"]
    }
    if not scores:
        return None
    best = max(scores, key=lambda name: scores[name])
    return {"name": best, "value": scores[best], "difference": metrics["comparisons"][best]["balanced_accuracy"]}


def _draw_all(
    metrics: Mapping[str, Any],
    models: Mapping[str, ModelResults],
    pooled: Predictions | None,
    classes: Sequence[str],
    folder: Path,
) -> dict[str, str]:
    leading = metrics["headline"]
    drawn = {"models": draw("models", (9.6, 0.9 + 0.42 * len(models)), paint_models(metrics, METRIC_NAMES), folder)}
    if pooled:
        described = metrics["models"][leading]
        drawn["roc"] = draw("roc", (4.6, 4.4), paint_roc(pooled.certain, classes, described["classes"]), folder)
        drawn["confusion"] = draw("confusion", (4.6, 4.4), paint_confusion(described["confusion"], classes), folder)
        if described["calibration"]:
            drawn["reliability"] = draw("reliability", (9.6, 3.7), paint_reliability(described["calibration"]), folder)
    if any(run.curve for results in models.values() for run in results.runs):
        rows = -(-len(models) // 5)
        size = (9.6 if len(models) > 2 else 4.8 * len(models), 2.3 * rows + 0.2)
        drawn["curves"] = draw("curves", size, paint_curves(models, leading), folder)
    return drawn


def _patients(pooled: Predictions, classes: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    second = pooled.labels if pooled.second is None else pooled.second
    for patient, label, other, chances in zip(
        pooled.patients, pooled.labels, second, pooled.probabilities, strict=True
    ):
        predicted = int(chances.argmax())
        true = classes[int(label)] if other == label else f"{classes[int(label)]} or {classes[int(other)]}"
        rows.append(
            {
                "id": patient,
                "true": true,
                "predicted": classes[predicted],
                "right": predicted in {int(label), int(other)},
                "probabilities": [round(float(p), 3) for p in chances],
                "certainty": round(float(chances[predicted]), 3),
            }
        )
    return rows


def _some_slides(slides: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Choose slides to show: outlined ones first, one of each patient before a second, by id."""
    ordered = sorted(slides, key=lambda s: (s["overlay"] is None, s["patient_id"], s["image_id"]))
    seen: dict[str, int] = {}
    ranked = []
    for place, slide in enumerate(ordered):
        turn = seen[slide["patient_id"]] = seen.get(slide["patient_id"], -1) + 1
        ranked.append((slide["overlay"] is None, turn, place, slide))
    chosen = sorted(ranked, key=lambda entry: entry[:3])[:MOST_SLIDES]
    return sorted((slide for *_, slide in chosen), key=lambda slide: (slide["patient_id"], slide["image_id"]))


def _tem_rows(
    results: ModelResults, pooled: Predictions | None, classes: Sequence[str], bags: Mapping[str, Path]
) -> list[dict[str, Any]]:
    """Show TEM bags of some patients of each class, wrongly predicted first, as the first seed's network saw them."""
    if pooled is None:
        return []
    instances: dict[str, list[dict[str, Any]]] = {}
    for fold in results.folds:
        run = next(run for run in results.runs if run.fold == fold and run.predictions)
        for row in run.instances:
            instances.setdefault(row["patient_id"], []).append(row)
    rows = []
    for name in classes:
        members = [
            p for p in _patients(pooled, classes) if p["true"] == name and p["id"] in bags and p["id"] in instances
        ]
        members.sort(key=lambda p: (p["right"], p["id"]))
        rows += [
            {**patient, "tiles": tem_tiles(bags[patient["id"]], instances[patient["id"]])}
            for patient in members[:TEM_PATIENTS_PER_CLASS]
        ]
    return rows
