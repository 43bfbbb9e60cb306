"""What the segmenter found in patients who were held out of its training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from nephroscale.evaluation.intervals import jackknife_variance, score_interval
from nephroscale.reporting.metric_values import Estimate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nephroscale.glomeruli.leave_out import PatientCounts
    from nephroscale.reporting.report_inputs import UnitOutcome

MATCHED, OUTLINES, FOUND, OVERLAP, AREA = range(5)


@dataclass(frozen=True)
class SegmenterCheck:
    """Agreement of contours with the outlines of held-out patients, pooled over the folds.

    Attributes
    ----------
    patients, folds, outlines, found, matched
        Numbers of held-out patients, of trainings, of outlines, of contours, and of matched pairs.
    recall, precision, dice
        With 95 % intervals. `dice` is that of the areas.
    """

    patients: int
    folds: int
    outlines: int
    found: int
    matched: int
    recall: Estimate
    precision: Estimate
    dice: Estimate


def summarise_segmenter_check(
    stages: Mapping[str, Sequence[UnitOutcome]], modality: str = "OM"
) -> SegmenterCheck | None:
    """Pool the folds of the check of a modality; None where there is none.

    The variances are those between patients, by a jackknife; the intervals are Wilson's, with as many outlines or
    contours as would vary as much (:mod:`nephroscale.evaluation.intervals`).
    """
    folds = [unit for unit in stages.get("segmenter_check", ()) if unit.accepted]
    units = [unit for unit in folds if unit.figures.get("modality", "OM") == modality]
    rows = [row for unit in units for row in cast("list[PatientCounts]", unit.figures["patients"])]
    if not rows:
        return None
    counts = np.array(
        [[row["matched"], row["outlines"], row["found"], row["overlap"], row["area"]] for row in rows], float
    )
    matched, outlines, found = (int(counts[:, column].sum()) for column in (MATCHED, OUTLINES, FOUND))
    return SegmenterCheck(
        patients=len(rows),
        folds=len(units),
        outlines=outlines,
        found=found,
        matched=matched,
        recall=_estimate(counts[:, MATCHED], counts[:, OUTLINES], outlines),
        precision=_estimate(counts[:, MATCHED], counts[:, FOUND], found),
        dice=_estimate(2 * counts[:, OVERLAP], counts[:, AREA], outlines),
    )


def _estimate(parts: np.ndarray, wholes: np.ndarray, size: int) -> Estimate:
    """Estimate the ratio of two sums over patients; undefined where the second is 0."""
    if wholes.sum() <= 0:
        return Estimate()
    rest = wholes.sum() - wholes
    without = np.divide(parts.sum() - parts, rest, out=np.full(len(rest), np.nan), where=rest > 0)
    variance = jackknife_variance(without, np.zeros(len(rest), int))
    return Estimate.of(score_interval(parts.sum() / wholes.sum(), variance, size))


def describe_segmenter_check(stages: Mapping[str, Sequence[UnitOutcome]]) -> list[str]:
    """State what was found in held-out patients, or that a trained segmenter was not checked, for each modality."""
    trained = {"OM": ("segmenter", "The segmenter"), "IM": ("segmenter_im", "The IM segmenter")}
    return [
        _describe(name, summarise_segmenter_check(stages, modality))
        for modality, (stage, name) in trained.items()
        if any(unit.accepted for unit in stages.get(stage, ()))
    ]


def _describe(name: str, check: SegmenterCheck | None) -> str:
    if check is None:
        return (
            f"{name} was not tested on patients that it was not trained on. With outlined slides of two patients "
            "or more, the setting glomeruli.check_folds makes this test."
        )
    figures = ", ".join(
        f"{what} {one.value:.3f} ({one.low:.3f}–{one.high:.3f})"
        for what, one in (("recall", check.recall), ("precision", check.precision), ("Dice", check.dice))
        if one.value is not None
    )
    return (
        f"{name}, trained without the patient, found {check.matched} of {check.outlines} outlined glomeruli of "
        f"{check.patients} patients, with {check.found - check.matched} false contours: {figures}; 95 % intervals over "
        f"patients, {check.folds} trainings."
    )
