"""Check a finished demo run against the demo's claims. Only this check reads the true outlines."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.calibration_metrics import negative_log_likelihood
from nephroscale.evaluation.metrics import compute_metrics
from nephroscale.evaluation.tables import read_predictions
from nephroscale.glomeruli.contours import read_geojson
from nephroscale.glomeruli.metrics import detection, dice_of_polygons
from nephroscale.glomeruli.outlines import read_outlines

SINGLE = ("om-only", "im-only", "tem-only")
SUBSETS = {"cmusnet": "TEM+OM+IM", "no-attention": "TEM+OM+IM", "om-only": "OM", "im-only": "IM", "tem-only": "TEM"}
"""Modalities of each model, as ceiling.json names them."""


class Claim(NamedTuple):
    """One measured value and its bound."""

    name: str
    value: float
    bound: float
    at_least: bool = True

    @property
    def holds(self) -> bool:
        """Whether the value is within its bound."""
        return self.value >= self.bound if self.at_least else self.value < self.bound

    def __str__(self) -> str:
        sign = "at least" if self.at_least else "below"
        return f"{'ok  ' if self.holds else 'FAIL'}  {self.name}: {self.value:.3f} ({sign} {self.bound:.2f})"


@dataclass(frozen=True)
class Figures:
    """Out-of-fold figures of a model: each seed's predictions count separately, as single networks."""

    balanced_accuracy: float
    log_loss: float


def measure(results: Path, model: str) -> Figures:
    """Compute the pooled out-of-fold figures of a model."""
    table = results / "folds/folds.json"
    paths = sorted((results / "evaluate" / model).glob("fold*/predictions.csv"))
    if not paths or not table.is_file():
        raise NephroscaleError("There are no predictions to check.", where=str(results), fix="Run the workflow first.")
    classes = json.loads(table.read_text())["classes"]
    found = [read_predictions(path, classes) for path in paths]
    labels = np.concatenate([predictions.labels for predictions in found])
    probabilities = np.concatenate([predictions.probabilities for predictions in found])
    metrics = compute_metrics(labels, probabilities)
    return Figures(
        metrics["balanced_accuracy"].value or 0.0, negative_log_likelihood(probabilities, np.eye(len(classes))[labels])
    )


def segmentation(results: Path, truth: Path) -> tuple[float, float]:
    """Compute the mean Dice over slides and the object F1 over all glomeruli, on slides with true outlines.

    Parameters
    ----------
    results
        Folder of receipts with ``glomeruli/<image>/glomeruli.geojson``.
    truth
        Folder of the true outlines, ``<image>.geojson``.
    """
    dices, matched, found, true = [], 0.0, 0.0, 0.0
    for path in sorted((results / "glomeruli").glob("*/glomeruli.geojson")):
        outline = truth / f"{path.parent.name}.geojson"
        if outline.is_file():
            contours = [glomerulus.polygon for glomerulus in read_geojson(path)]
            outlines = read_outlines(outline).polygons
            counts = detection(contours, outlines)
            matched, found, true = matched + counts["matched"], found + counts["found"], true + counts["true"]
            dices.append(dice_of_polygons(contours, outlines))
    if not dices:
        raise NephroscaleError("There are no contours to check.", where=str(results), fix="Run the workflow first.")
    return float(np.mean(dices)), 2 * matched / (found + true)


def read_ceilings(truth: Path) -> dict[str, float]:
    """Read the best possible accuracy of the cohort's own cases, by subset of modalities."""
    path = truth / "ceiling.json"
    if not path.is_file():
        raise NephroscaleError(
            "The ceilings of the cohort are not there.", where=str(path), fix="Run `make demo` again."
        )
    return {subset: score["accuracy"] for subset, score in json.loads(path.read_text())["cohort"].items()}


def claims(results: Path, truth: Path, permuted: list[Path]) -> list[Claim]:
    """Measure every claim of the demo."""
    found = {model: measure(results, model) for model in SUBSETS}
    ceilings = read_ceilings(truth)
    regret = {model: ceilings[subset] - found[model].balanced_accuracy for model, subset in SUBSETS.items()}
    full, best = found["cmusnet"], max(found[model].balanced_accuracy for model in SINGLE)
    dice, f1 = segmentation(results, truth)
    made = [
        Claim(
            "regret of the tri-modal CMUS-Net: ceiling minus balanced accuracy", regret["cmusnet"], 0.15, at_least=False
        ),
        Claim("its log-loss", full.log_loss, 0.50, at_least=False),
        Claim("its lead over the best single modality", full.balanced_accuracy - best, 0.10),
        Claim(
            "log-loss of the best single modality minus its own",
            min(found[m].log_loss for m in SINGLE) - full.log_loss,
            0.10,
        ),
        *(Claim(f"regret of {model}, which a leak would make negative", regret[model], 0.0) for model in SINGLE),
        Claim("Dice of glomeruli on slides not trained on", dice, 0.85),
        Claim("object F1 of glomeruli on slides not trained on", f1, 0.90),
    ]
    if permuted:
        mean = float(np.mean([measure(folder, "cmusnet").balanced_accuracy for folder in permuted]))
        made.append(
            Claim(f"mean balanced accuracy over {len(permuted)} label permutations", mean, 0.50, at_least=False)
        )
    return made


def main() -> int:
    """Print each claim and whether it holds; exit with status 1 if one does not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results/demo"))
    parser.add_argument("--truth", type=Path, default=Path("demo/demo/truth"))
    parser.add_argument("--permuted", type=Path, nargs="*", default=[], help="results of runs with task.permute_labels")
    options = parser.parse_args()
    try:
        found = claims(options.results, options.truth, options.permuted)
    except NephroscaleError as fault:
        print(f"nephroscale: {fault}", file=sys.stderr)
        return 1
    print("\n".join(map(str, found)))
    return 0 if all(claim.holds for claim in found) else 1


if __name__ == "__main__":
    sys.exit(main())
