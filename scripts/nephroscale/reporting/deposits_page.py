"""The page of the target `deposits`: figures beside the paper's, learning curves, errors, where the network looks."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import shapely
from matplotlib.figure import Figure as Canvas

from nephroscale.deposits.localisation import Heat, Localised, localise, read_deposit_outlines, read_heat
from nephroscale.deposits.metrics import (
    METRICS,
    DepositMetric,
    Scored,
    discordant,
    evaluate_variant,
    mean_of_persons,
    scored,
)
from nephroscale.deposits.predictions import Prediction, read_predictions, read_weight
from nephroscale.deposits.settings import COMBINED, EQUAL, PLAIN, SVM
from nephroscale.deposits.train import CURVE
from nephroscale.errors import NephroscaleError
from nephroscale.html import template_environment
from nephroscale.json_text import pretty_json
from nephroscale.reporting.deposit_pictures import draw_heat, read_deposit_picture
from nephroscale.reporting.pictures import to_data_uri
from nephroscale.reporting.plots import ACCENT, MUTED, PALE, RULE, draw

TEMPLATES = Path(__file__).parent / "templates"
MAX_ERRORS, MAX_LOOKS = 24, 12
NAMES = {
    PLAIN: "(a) Plain network",
    SVM: "(b) SVM on features with skip connections",
    COMBINED: "(c) Both, weight chosen on the validation side",
    EQUAL: "(c) Both, equal weights",
    "svm-without-skips": "SVM without skip connections",
    "svm-random-weights": "SVM on a network with random weights",
}
PAPER = {PLAIN: 0.58, SVM: 0.83, COMBINED: 0.88}
"""Accuracies of the paper, on 910 images: Zhang J, Zhang A. BMC Nephrology 2023, 10.1186/s12882-023-03182-6."""


@dataclass(frozen=True)
class DepositsRun:
    """The artifacts of one site, fold and seed: predictions, and the plain network where there is one."""

    site: str
    fold: str
    seed: int
    predictions: Path
    plain: Path | None


@dataclass(frozen=True)
class DepositsInputs:
    """What the page is made from.

    Attributes
    ----------
    runs
        All sites, folds and seeds.
    skipped
        Units that were rejected, with reasons.
    bags
        Patient to cleaned TEM images.
    persons
        Case to person, for persons with several biopsies.
    outlines
        Image id to the file of its outlined deposits.
    backbone
        Name of the network.
    """

    runs: Sequence[DepositsRun]
    skipped: Mapping[str, str]
    bags: Mapping[str, Path]
    persons: Mapping[str, str]
    outlines: Mapping[str, Path]
    backbone: str


class Row(NamedTuple):
    """One variant of the table."""

    variant: str
    name: str
    figures: dict[str, DepositMetric]
    paper: float | None


class Shown(NamedTuple):
    """One image on the page: ids, data URI, whether it shows deposits, and the probability of deposits."""

    image: str
    patient: str
    picture: str
    label: bool
    probability: float


class Looks(NamedTuple):
    """How well the network's heat agrees with outlines: figures beside those of chance, and example pictures."""

    images: int
    hit: DepositMetric
    hit_by_chance: float
    precision: DepositMetric
    precision_by_chance: float
    pictures: list[Shown]


@dataclass(frozen=True)
class SiteResults:
    """The results of one site.

    Attributes
    ----------
    images, positive, patients
        Numbers of test images, of those with deposits, and of patients.
    rows
        One for each variant.
    order
        A sentence on whether the paper's order, a < b < c, came out.
    weights
        Weight of the plain network in each fold and seed.
    curves
        SVG of the learning curves, as a data URI; None without the plain network.
    errors
        The images with the largest errors, the largest first.
    looks
        Localisation; None without outlines.
    """

    site: str
    images: int
    positive: int
    patients: int
    seeds: int
    rows: list[Row]
    order: str
    weights: list[float]
    curves: str | None
    errors: list[Shown]
    looks: Looks | None


def write_deposits_page(inputs: DepositsInputs, out: Path) -> dict[str, object]:
    """Write `index.html`, `errors.html`, `predictions.csv`, `metrics.json` and the figures.

    Parameters
    ----------
    inputs
        Predictions and trainings of all folds.
    out
        Folder to make.

    Returns
    -------
    dict
        The headline of each site, and the accuracy of each variant.
    """
    figures = out / "figures"
    figures.mkdir(parents=True)
    shapes, unread = _read_outlines(inputs.outlines)
    results = []
    lines = ["site,seed,fold,image_id,patient_id,deposits,variant,probability"]
    for site in dict.fromkeys(run.site for run in inputs.runs):
        found = {run: read_predictions(run.predictions) for run in inputs.runs if run.site == site}
        results.append(_evaluate_site(site, found, inputs, shapes, figures))
        lines += [
            f"{site},{run.seed},{run.fold},{row.image},{row.patient},{int(bool(row.label))},{variant},{p:.6f}"
            for run, rows in found.items()
            for row in rows
            for variant, p in row.probabilities.items()
        ]
    (out / "predictions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    metrics = {result.site: _as_json(result) for result in results}
    (out / "metrics.json").write_text(pretty_json(metrics), encoding="utf-8")
    environment = template_environment(TEMPLATES, figure=format_figure, range=format_range)
    skipped = {**inputs.skipped, **unread}
    page = {"results": results, "metrics": METRICS, "skipped": skipped, "backbone": inputs.backbone}
    for name, template in (("index", "deposits"), ("errors", "deposits_errors")):
        text = environment.get_template(f"{template}.html.j2").render(page)
        (out / f"{name}.html").write_text(text, encoding="utf-8")
    return {
        "headline": [_headline(result) for result in results] or ["Deposits: no fold could be evaluated"],
        "accuracy": {result.site: {r.variant: r.figures["accuracy"].value for r in result.rows} for result in results},
    }


def _headline(result: SiteResults) -> str:
    where = "any site" if result.site == "any" else result.site
    best = next((row for row in result.rows if row.variant == COMBINED), next(iter(result.rows), None))
    if best is None:
        return f"Deposits, {where}: no variant could be trained in every fold"
    accuracy = best.figures["accuracy"]
    value = f"{format_figure(accuracy)} ({format_range(accuracy)})"
    return f"Deposits, {where}: accuracy {value}, {result.images} images of {result.patients} patients"


def format_figure(found: DepositMetric) -> str:
    """Format a value, or a dash where it is not defined."""
    return "–" if found.value is None else f"{found.value:.3f}"


def format_range(found: DepositMetric) -> str:
    """Format an interval; empty where it is not defined."""
    return "" if found.low is None else f"{found.low:.3f}–{found.high:.3f}"


def _evaluate_site(
    site: str,
    found: Mapping[DepositsRun, list[Prediction]],
    inputs: DepositsInputs,
    shapes: Mapping[str, shapely.Geometry],
    figures: Path,
) -> SiteResults:
    seeds = sorted({run.seed for run in found})
    by_seed = {seed: {run.fold: rows for run, rows in found.items() if run.seed == seed} for seed in seeds}
    folds = {run.fold for run in found}
    shown = max(seeds, key=lambda seed: len(by_seed[seed]))
    # Where every seed lacks a fold, the figures are of the seed with the most folds.
    complete = [by_seed[seed] for seed in seeds if set(by_seed[seed]) == folds] or [by_seed[shown]]
    trained = [set(rows[0].probabilities) for rows in found.values()]
    variants = [name for name in NAMES if all(name in each for each in trained)]  # in every fold
    scores = {variant: [scored(each, variant, inputs.persons) for each in complete] for variant in variants}
    rows = [Row(v, NAMES[v], evaluate_variant(scores[v]), PAPER.get(v) if site == "any" else None) for v in variants]
    test = [row for rows in complete[0].values() for row in rows]
    best = next((v for v in (COMBINED, SVM, PLAIN, *variants) if v in variants), None)
    return SiteResults(
        site=site,
        images=len(test),
        positive=sum(bool(row.label) for row in test),
        patients=len({inputs.persons.get(row.patient, row.patient) for row in test}),
        seeds=len(complete),
        rows=rows,
        order=_describe_order(rows, scores),
        weights=[weight for run in found if (weight := read_weight(run.predictions)) is not None],
        curves=_draw_curves(site, [run for run in found if run.plain], figures),
        errors=_most_wrong(test, best, inputs.bags) if best else [],
        looks=_look(test, [run for run in found if run.seed == shown], inputs, shapes),
    )


def _describe_order(rows: Sequence[Row], scores: Mapping[str, list[Scored]]) -> str:
    """State whether the combined model beats the SVM, and the SVM the plain network, with discordant images."""
    accuracy = {row.variant: row.figures["accuracy"].value for row in rows}
    if not {PLAIN, SVM, COMBINED} <= accuracy.keys():
        return ""
    steps = []
    for better, worse in ((SVM, PLAIN), (COMBINED, SVM)):
        first, second = discordant(scores[better][0], scores[worse][0])
        images = f"{first} image{'' if first == 1 else 's'}"
        steps.append(f"{NAMES[better][:3]} alone is right on {images} and {NAMES[worse][:3]} alone on {second}")
    values = [accuracy[name] or 0.0 for name in (PLAIN, SVM, COMBINED)]
    came = "came out" if values[0] < values[1] < values[2] else "did not come out"
    return f"The paper's order (a) < (b) < (c) {came} in these images: " + "; ".join(steps) + "."


def _most_wrong(test: Sequence[Prediction], variant: str, bags: Mapping[str, Path]) -> list[Shown]:
    wrong = [row for row in test if (row.probabilities[variant] > 0.5) != bool(row.label)]
    wrong.sort(key=lambda row: (-abs(row.probabilities[variant] - bool(row.label)), row.image))
    return [
        Shown(row.image, row.patient, to_data_uri(picture), bool(row.label), row.probabilities[variant])
        for row in wrong[:MAX_ERRORS]
        if (picture := read_deposit_picture(bags, row)) is not None
    ]


def _read_outlines(files: Mapping[str, Path]) -> tuple[dict[str, shapely.Geometry], dict[str, str]]:
    """Read the outlines of each image; of files that cannot be read, give the reason."""
    shapes, unread = {}, {}
    for image, path in sorted(files.items()):
        try:
            shapes[image] = read_deposit_outlines(path)
        except NephroscaleError as fault:
            unread[f"comparison with the outlines of {image}"] = f"{fault.what.rstrip('.')}: {path.name}"
    return shapes, unread


def _look(
    test: Sequence[Prediction],
    runs: Sequence[DepositsRun],
    inputs: DepositsInputs,
    shapes: Mapping[str, shapely.Geometry],
) -> Looks | None:
    heats: dict[str, Heat] = {}
    for run in runs:
        heats |= read_heat(run.predictions)
    found: dict[str, Localised] = {}
    for row in test:
        known = row.label and row.image in heats and row.image in shapes
        if known and (one := localise(heats[row.image], shapes[row.image])) is not None:
            found[row.image] = one
    rows = [row for row in test if row.image in found]
    if not rows:
        return None
    persons = [inputs.persons.get(row.patient, row.patient) for row in rows]
    every = np.linspace(0, len(rows) - 1, min(MAX_LOOKS, len(rows))).round().astype(int)
    pictures = []
    for row in (rows[i] for i in every):
        picture = read_deposit_picture(inputs.bags, row)
        assert picture is not None
        overlay = to_data_uri(draw_heat(picture, heats[row.image], shapes[row.image]))
        pictures.append(Shown(row.image, row.patient, overlay, True, row.probabilities[PLAIN]))
    return Looks(
        images=len(rows),
        hit=mean_of_persons([found[row.image].hit for row in rows], persons),
        hit_by_chance=float(np.mean([found[row.image].hit_by_chance for row in rows])),
        precision=mean_of_persons([found[row.image].precision for row in rows], persons),
        precision_by_chance=float(np.mean([found[row.image].precision_by_chance for row in rows])),
        pictures=pictures,
    )


def _draw_curves(site: str, runs: Sequence[DepositsRun], folder: Path) -> str | None:
    if not runs:
        return None
    curves = [json.loads((run.plain / CURVE).read_text(encoding="utf-8")) for run in runs if run.plain]
    means: dict[str, dict[int, list[float]]] = {"train_loss": defaultdict(list), "validation_loss": defaultdict(list)}
    for curve in curves:
        for point in curve:
            for side, values in means.items():
                values[point["epoch"]].append(point[side])
    return draw(f"learning-{site}", (9.4, 3.0), folder, _paint_curves, curves, means)


def _paint_curves(
    figure: Canvas, curves: Sequence[Sequence[Mapping[str, float]]], means: Mapping[str, Mapping[int, list[float]]]
) -> None:
    axes = figure.subplots(1, 2, sharey=True)
    for axis, (side, title) in zip(
        axes, {"train_loss": "Training", "validation_loss": "Validation"}.items(), strict=True
    ):
        for curve in curves:
            axis.plot([p["epoch"] for p in curve], [p[side] for p in curve], color=PALE, lw=0.8)
        mean = {epoch: float(np.mean(values)) for epoch, values in means[side].items()}
        axis.plot(list(mean), list(mean.values()), color=ACCENT, lw=1.8)
        axis.axhline(np.log(2), color=MUTED, lw=0.8, ls=(0, (1, 2)))
        axis.set(title=title, xlabel="epoch (0: the head alone)", ylim=(0, None))
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(axis="y", color=RULE, lw=0.6)
    axes[0].set_ylabel("log loss, nats")


def _as_json(result: SiteResults) -> dict[str, object]:
    looks = result.looks
    return {
        "images": result.images,
        "with_deposits": result.positive,
        "patients": result.patients,
        "seeds": result.seeds,
        "variants": {row.variant: {name: asdict(f) for name, f in row.figures.items()} for row in result.rows},
        "order": result.order,
        "weights": result.weights,
        "localisation": None
        if looks is None
        else {
            "images": looks.images,
            "pointing_game": asdict(looks.hit),
            "pointing_game_by_chance": looks.hit_by_chance,
            "average_precision": asdict(looks.precision),
            "average_precision_by_chance": looks.precision_by_chance,
        },
    }
