"""Plots of the report, in one style and with reproducible bytes."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from nephroscale.evaluation.precision_recall import mean_precision

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from nephroscale.evaluation.networks import Networks
    from nephroscale.reporting.calibration_section import TemperatureScaling
    from nephroscale.reporting.metric_values import Estimate
    from nephroscale.reporting.report_metrics import ClassMetrics, ReportMetrics
    from nephroscale.reporting.results import ModelResults
    from nephroscale.reporting.study_values import ConfidentShare, DecisionCurve

P = ParamSpec("P")

INK, MUTED, RULE, ACCENT, PALE = "#1c2733", "#596671", "#d9dfe4", "#1f5c7a", "#9fb4c0"
CLASS_COLOURS = ("#1f5c7a", "#c0603f", "#5f8a4a", "#85659c", "#a88616", "#4f6d7a", "#a34a6b", "#6f6f6f")

_STYLE: Any = {
    "font.family": "DejaVu Sans",  # shipped with matplotlib, so equal on every machine
    "font.size": 8.5,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.solid_capstyle": "round",
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "nephroscale",
    "svg.fonttype": "path",
}
_HEAT = LinearSegmentedColormap.from_list("heat", ["#f4f6f7", "#bfd3de", "#1f5c7a"])


def colour_of(c: int) -> str:
    """Give the colour of a class, the same in every plot."""
    return CLASS_COLOURS[c % len(CLASS_COLOURS)]


def draw(
    name: str,
    size: tuple[float, float],
    folder: Path,
    paint: Callable[Concatenate[Figure, P], None],
    *values: P.args,
    **named: P.kwargs,
) -> str:
    """Draw a plot, save it as PNG and SVG, and return the SVG for the page.

    Parameters
    ----------
    name
        File name without ending.
    size
        Width and height in inches.
    folder
        Folder of the files.
    paint
        Function that draws on an empty figure, its first argument.
    values, named
        Its other arguments.

    Returns
    -------
    str
        The SVG as a data URI.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, dpi=200)
        FigureCanvasAgg(figure)
        paint(figure, *values, **named)
        if layout := figure.get_layout_engine():
            layout.execute(figure)
            mpl.rcParams["figure.constrained_layout.use"] = False  # until the end of the context
            figure.set_layout_engine(None)  # else each file takes a second drawing to find it again
        quickly = {"compress_level": 1}
        figure.savefig(folder / f"{name}.png", metadata={"Software": None}, pil_kwargs=quickly)
        drawing = folder / f"{name}.svg"
        figure.savefig(drawing, metadata={"Date": None, "Creator": None}, transparent=True)
    return "data:image/svg+xml;base64," + base64.b64encode(drawing.read_bytes()).decode()


def paint_models(figure: Figure, metrics: ReportMetrics, labels: Mapping[str, str]) -> None:
    """Plot the metrics of one network of each model with their intervals, and the single folds as dots.

    Parameters
    ----------
    metrics
        Metrics of the models.
    labels
        Metric to its title.
    """
    names = list(metrics.models)[::-1]
    chance = {"balanced_accuracy": 1 / len(metrics.classes), "macro_auc": 0.5}

    axes = figure.subplots(1, len(labels), sharey=True)
    figure.set_layout_engine("constrained", w_pad=0.02, wspace=0.05)
    for axis, (metric, label) in zip(axes, labels.items(), strict=True):
        if metric in chance:
            axis.axvline(chance[metric], color=MUTED, lw=0.8, ls=(0, (1, 2)))
            axis.text(chance[metric] + 0.02, len(names) - 0.4, "chance", va="top", color=MUTED, size=7)
        for row, name in enumerate(names):
            found = metrics.models[name]
            colour = ACCENT if name == metrics.headline else PALE
            folds = [v for v in found.folds.metrics[metric].values if v is not None]
            if folds:  # an empty line without clipping breaks the layout
                axis.plot(folds, [row - 0.24] * len(folds), "o", ms=2.6, mew=0, color=colour, alpha=0.55, clip_on=False)
            pooled = found.pooled[metric]
            if pooled.value is not None:
                axis.plot([pooled.low, pooled.high], [row, row], lw=2.4, color=colour, clip_on=False)
                axis.plot(pooled.value, row, "o", ms=5.5, mec="white", mew=0.8, color=colour, clip_on=False)
        axis.set(title=label, xlim=(0, 1), ylim=(-0.6, len(names) - 0.35), xticks=[0, 0.25, 0.5, 0.75, 1])
        axis.set_xticklabels(["0", "", "0.5", "", "1"])
        axis.grid(axis="x", color=RULE, lw=0.6)
        axis.set_axisbelow(True)
        axis.tick_params(length=0)
        axis.spines["left"].set_visible(False)
    axes[0].set_yticks(range(len(names)), names)
    for tick, name in zip(axes[0].get_yticklabels(), names, strict=True):
        tick.set_color(INK)
        tick.set_fontweight("bold" if name == metrics.headline else "normal")


def paint_roc(figure: Figure, networks: Networks, classes: Mapping[str, ClassMetrics]) -> None:
    """Plot the one-versus-rest ROC curve of each class within folds.

    The curve is the mean over folds and networks, weighted by the pairs of a fold: its area is the AUC within folds.
    """
    grid = np.linspace(0, 1, 501)

    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=(0, (1, 2)))
    for c, (name, metrics) in enumerate(classes.items()):
        area = metrics.auc
        if area.value is None:
            continue
        axis.plot(
            grid,
            _mean_roc(networks, c, grid),
            color=colour_of(c),
            lw=1.8,
            label=f"{name}  {area.value:.3f} ({area.low:.3f}–{area.high:.3f})",
            clip_on=False,
        )
    axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="1 − specificity", ylabel="Sensitivity", aspect="equal")
    _set_unit_square(axis)
    axis.legend(loc="lower right", title="AUC (95 % interval)", title_fontsize=8, handlelength=1.4, alignment="left")


def _set_unit_square(axis: Axes) -> None:
    """Set ticks and a grid behind the plot for two shares."""
    axis.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axis.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axis.grid(color=RULE, lw=0.5)
    axis.set_axisbelow(True)


def _mean_roc(networks: Networks, c: int, grid: np.ndarray) -> np.ndarray:
    """Mean sensitivity at each false-positive rate, over the folds and networks, weighted by the pairs of a fold."""
    total, weights = np.zeros_like(grid), 0
    for fold in np.unique(networks.folds):
        inside = networks.folds == fold
        own = networks.labels[inside] == c
        if pairs := int(own.sum() * (~own).sum()):
            for each in networks.probabilities:
                false, true, _ = roc_curve(own, each[inside, c], drop_intermediate=False)
                total += pairs * np.interp(grid, false, true)
                weights += pairs
    return np.asarray(total / weights)


def paint_precision(figure: Figure, networks: Networks, classes: Mapping[str, ClassMetrics]) -> None:
    """Plot the precision-recall curve of each class within folds; dotted lines are the shares of the classes."""
    grid = np.linspace(0.01, 1, 100)

    axis = figure.subplots()
    for c, (name, metrics) in enumerate(classes.items()):
        if metrics.average_precision is None:
            continue
        share = float((networks.labels == c).mean())
        axis.axhline(share, color=colour_of(c), lw=0.8, ls=(0, (1, 2)))
        axis.plot(
            grid,
            mean_precision(networks, c, grid),
            color=colour_of(c),
            lw=1.8,
            label=f"{name}  {metrics.average_precision:.3f} (guessing {share:.2f})",
            clip_on=False,
        )
    axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="Recall (sensitivity)", ylabel="Precision", aspect="equal")
    _set_unit_square(axis)
    axis.legend(loc="lower left", title="Average precision", title_fontsize=8, handlelength=1.4, alignment="left")


def readable_on(ground: tuple[float, float, float, float]) -> str:
    """Choose white or ink for text on a colour, whichever has more contrast (WCAG 2.2)."""
    white, ink, cell = (_luminance(to_rgb(colour)) + 0.05 for colour in ("white", INK, ground))
    return "white" if white / cell > cell / ink else INK


def _luminance(colour: tuple[float, ...]) -> float:
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in colour]
    return float(np.dot((0.2126, 0.7152, 0.0722), linear))


def paint_confusion(figure: Figure, matrix: Sequence[Sequence[float]], classes: Sequence[str]) -> None:
    """Plot the confusion matrix: counts, shaded by the share of the true class."""
    counts = np.asarray(matrix)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    axis = figure.subplots()
    axis.imshow(share, cmap=_HEAT, vmin=0, vmax=1)
    for y, x in np.ndindex(counts.shape):
        colour = readable_on(_HEAT(share[y, x]))
        axis.text(x, y - 0.07, f"{counts[y, x]:.3g}", ha="center", va="center", size=12, color=colour)
        axis.text(x, y + 0.19, f"{share[y, x]:.0%}", ha="center", va="center", size=7.5, color=colour)
    axis.set_xticks(range(len(classes)), classes)
    axis.set_yticks(
        range(len(classes)), [f"{name}\nn = {n:.0f}" for name, n in zip(classes, counts.sum(1), strict=True)]
    )
    axis.set_xticks(np.arange(-0.5, len(classes)), minor=True)
    axis.set_yticks(np.arange(-0.5, len(classes)), minor=True)
    axis.grid(which="minor", color="white", lw=2.5)
    axis.tick_params(which="both", length=0, labelcolor=INK)
    axis.set(xlabel="Predicted", ylabel="True")
    for spine in axis.spines.values():
        spine.set_visible(False)


def paint_reliability(figure: Figure, calibration: TemperatureScaling) -> None:
    """Plot reliability diagrams before and after temperature scaling."""
    axes = figure.subplots(1, 2)
    titled = {"As trained": calibration.before, "After the temperature": calibration.after}
    for axis, (title, found) in zip(axes, titled.items(), strict=True):
        axis.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=(0, (1, 2)))
        most = max(entry.patients for entry in found.bins)
        for entry in found.bins:
            at = entry.confidence
            axis.plot([at, at], [entry.low, entry.high], color=PALE, lw=1.4)
            size = 4 + 8 * (entry.patients / most) ** 0.5
            axis.plot(at, entry.accuracy, "o", ms=size, color=ACCENT, mec="white", mew=0.8, clip_on=False)
            axis.annotate(  # on the right also of the last bin, else it meets the number of the one before
                str(entry.patients), (at, entry.accuracy), (size / 2 + 3, 0),
                textcoords="offset points", size=7.5, color=MUTED, ha="left", va="center",
            )  # fmt: skip
        axis.set_title(f"{title}: Brier {found.brier:.3f}, NLL {found.nll:.3f}", pad=12)
        axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="Probability of the predicted class", aspect="equal")
        _set_unit_square(axis)
    axes[0].set_ylabel("Share that was right")


def paint_decisions(figure: Figure, confident: Sequence[ConfidentShare], decision: DecisionCurve | None) -> None:
    """Plot the accuracy of the most confident predictions, and the decision curve where there is one."""
    axes = figure.subplots(1, 2 if decision else 1, squeeze=False)[0]
    shares = [point.coverage for point in confident]
    _band(axes[0], shares, [point.accuracy for point in confident], "Accuracy")
    axes[0].set(xlabel="Share of cases, most confident first", ylabel="Accuracy", ylim=(0, 1), xticks=shares)
    if decision:
        thresholds = [point.threshold for point in decision.points]
        always = [point.always for point in decision.points]
        _band(axes[1], thresholds, [point.model for point in decision.points], "by the model")
        axes[1].plot(thresholds, always, color=MUTED, lw=1.2, ls=(0, (4, 2)), label="always")
        axes[1].axhline(0, color=MUTED, lw=1.2, label="never")
        axes[1].set(xlabel="Threshold probability", ylabel="Net benefit", title=decision.action)
        axes[1].legend()


def _band(axis: Axes, places: Sequence[float], found: Sequence[Estimate], label: str) -> None:
    """Plot estimates as a line with their intervals as a band; those that are not estimable are gaps."""
    values, low, high = (
        [np.nan if e is None else e for e in (getattr(each, name) for each in found)]
        for name in ("value", "low", "high")
    )
    axis.fill_between(places, low, high, color=PALE, alpha=0.4, lw=0)
    axis.plot(places, values, "o-", color=ACCENT, lw=1.8, ms=4, label=label)
    axis.grid(axis="y", color=RULE, lw=0.6)
    axis.set_axisbelow(True)


def paint_curves(figure: Figure, models: Mapping[str, ModelResults], headline: str) -> None:
    """Plot the training and validation loss of each run by epoch; circles mark the kept epochs."""
    columns = min(len(models), 5)
    axes = figure.subplots(-(-len(models) // columns), columns, squeeze=False, sharey=True)
    for axis in axes.flat[len(models) :]:
        axis.set_visible(False)
    for axis, (name, results) in zip(axes.flat, models.items(), strict=False):
        colour = ACCENT if name == headline else MUTED
        for run in results.runs:
            epochs = [row.epoch for row in run.curve]
            losses = [row.validation_loss for row in run.curve]
            axis.plot(epochs, [row.train_loss for row in run.curve], color=PALE, lw=0.9, alpha=0.8)
            axis.plot(epochs, losses, color=colour, lw=1.2, alpha=0.85)
            if run.best_epoch in epochs:
                at = epochs.index(run.best_epoch)
                axis.plot(epochs[at], losses[at], "o", ms=4.5, mfc="white", mec=colour, mew=1.2)
        axis.set_title(name)
        axis.set_xlabel("Epoch")
        axis.grid(axis="y", color=RULE, lw=0.6)
        axis.set_axisbelow(True)
    if top := _loss_ceiling(models):
        axes.flat[0].set_ylim(0, top)
    for row in axes:
        row[0].set_ylabel("Loss of a patient")


def _loss_ceiling(models: Mapping[str, ModelResults]) -> float | None:
    """Choose an upper limit of the axis that ignores single outlying epochs."""
    losses = [
        loss
        for results in models.values()
        for run in results.runs
        for row in run.curve
        for loss in (row.train_loss, row.validation_loss)
    ]
    return float(np.quantile(losses, 0.99)) * 1.1 if losses else None
