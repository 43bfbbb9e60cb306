"""The flow of cases through the study, as STARD asks for it: who was left out where, and why."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nephroscale.evaluation.tables import Predictions
    from nephroscale.reporting.cohort_summary import CohortSummary
    from nephroscale.reporting.report_inputs import ListedCase

WIDTH, INDENT, LINE, PADDING, GAP, TRUNK = 400, 64, 17, 9, 14, 30
CHARACTERS = 56
MOST_REASONS = 6
STYLE = "font-family: Arial, 'Liberation Sans', sans-serif; font-size: 13px; fill: #1c2733"


class Box(NamedTuple):
    """A box of the diagram: its first line is bold; `aside` is whether it stands beside the trunk."""

    lines: list[str]
    aside: bool = False


def list_boxes(
    cases: Mapping[str, ListedCase],
    cohort: CohortSummary,
    predictions: Predictions | None,
    external: int,
    classes: Sequence[str],
) -> list[Box]:
    """List the boxes from the tables to the predictions.

    Parameters
    ----------
    cases
        Case id to what the tables have about it; empty where nothing is listed beside the folds.
    cohort
        The cases in the folds, and those excluded.
    predictions
        Out-of-fold predictions of the headline model.
    external
        Number of external cases that were predicted.
    classes
        Names of the classes, in the order of their indices.
    """
    others = Counter(case.use for case in cases.values() if case.use in {"segmentation", "external"})
    # The folds know the excluded cases of the diagnosis; the tables know those that were never eligible.
    excluded = {name: case.reason or "excluded in the tables" for name, case in cases.items() if case.use == "exclude"}
    excluded |= {
        name: reason
        for name, reason in cohort.excluded.items()
        if name not in cases or cases[name].use in {"diagnosis", "exclude"}
    }
    total = cohort.patients + len(excluded)
    boxes = [Box([f"{total + others.total()} cases in the tables"])]
    if others:
        boxes.append(
            Box(["Not for the diagnosis", *(f"{use}: {count}" for use, count in sorted(others.items()))], True)
        )
    boxes.append(Box([f"{total} cases for the diagnosis"]))
    if excluded:
        boxes.append(Box([f"{len(excluded)} excluded", *_count_reasons(excluded.values())], aside=True))
    counts = ", ".join(f"{name} {count}" for name, count in cohort.classes.items())
    between = f", between two classes {cohort.between}" if cohort.between else ""
    boxes.append(Box([f"{cohort.patients} cases in the folds", counts + between]))
    predicted = len(predictions.patients) if predictions else 0
    if predicted < cohort.patients:
        boxes.append(
            Box([f"{cohort.patients - predicted} without a prediction", "lacking a modality, or not run"], True)
        )
    final = [f"{predicted} cases predicted out of fold"]
    if predictions:
        certain = predictions.certain
        right = certain.probabilities.argmax(axis=1) == certain.labels
        for c, name in enumerate(classes):
            members = certain.labels == c
            final.append(f"{name}: {int((right & members).sum())} right, {int((~right & members).sum())} wrong")
    boxes.append(Box(final))
    if external:
        boxes.append(Box([f"External cases predicted by the ensemble: {external}"], aside=True))
    return boxes


def _count_reasons(reasons: Iterable[str]) -> list[str]:
    """Count the reasons; what follows a colon or stands in brackets is about one case."""
    short = Counter(re.split(r":| \(", reason)[0] for reason in reasons)
    listed = [f"{reason}: {count}" for reason, count in sorted(short.items(), key=lambda entry: (-entry[1], entry[0]))]
    rest = len(listed) - MOST_REASONS
    return listed if rest <= 0 else [*listed[:MOST_REASONS], f"{rest} further reasons"]


def draw_flow(boxes: Sequence[Box]) -> str:
    """Draw the boxes one below the other as an SVG, 400 units wide; boxes aside branch off the trunk."""
    parts, y, last = [], 1, 0
    for number, box in enumerate(boxes):
        x = INDENT if box.aside else 1
        width = WIDTH - x - 1
        lines = [
            (wrapped, index == 0)
            for index, line in enumerate(box.lines)
            for wrapped in textwrap.wrap(line, CHARACTERS - (9 if box.aside else 0))
        ]
        height = LINE * len(lines) + 2 * PADDING
        if number and box.aside:
            middle = y + height / 2
            parts.append(
                f'<path d="M{TRUNK} {middle:g}H{x}M{x - 6} {middle - 4:g}L{x} {middle:g}L{x - 6} {middle + 4:g}"/>'
            )
        elif number:
            parts.append(f'<path d="M{TRUNK} {last}V{y}M{TRUNK - 4} {y - 6}L{TRUNK} {y}L{TRUNK + 4} {y - 6}"/>')
        fill = "#fbf5f1" if box.aside else "#f1f6f8"
        parts.append(f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="3" style="fill: {fill}"/>')
        for index, (text, bold) in enumerate(lines):
            weight = ' font-weight="600"' if bold else ""
            place = f'x="{x + 11}" y="{y + PADDING + LINE * index + 13}"'
            parts.append(f'<text {place}{weight} style="{STYLE}; stroke: none">{escape(text)}</text>')
        if not box.aside:
            last = y + height
        elif number + 1 == len(boxes):
            parts.append(f'<path d="M{TRUNK} {last}V{y + height / 2:g}"/>')
        y += height + GAP
    text = ". ".join("; ".join(box.lines) for box in boxes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y - GAP + 1}" role="img" '
        f'aria-label="{escape(text, quote=True)}" style="fill: none; stroke: #596671">' + "".join(parts) + "</svg>"
    )
