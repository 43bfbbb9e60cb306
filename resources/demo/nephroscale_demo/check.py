"""Check a finished demo run against the demo's claims. Only this check reads the true outlines."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nephroscale.errors import NephroscaleError
from nephroscale.evaluation.metrics import compute_metrics
from nephroscale.evaluation.tables import read_predictions
from nephroscale.glomeruli.contours import read_geojson
from nephroscale.glomeruli.metrics import detection, dice_of_polygons
from nephroscale.glomeruli.outlines import read_outlines

SINGLE = ("om-only", "im-only", "tem-only")


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


def balanced_accuracy(results: Path, model: str) -> float:
    """Compute the pooled out-of-fold balanced accuracy of a model.

    Each seed's predictions count separately. The report averages over the seeds first, which gives higher values.
    """
    table = results / "folds/folds.json"
    paths = sorted((results / "evaluate" / model).glob("fold*/predictions.csv"))
    if not paths or not table.is_file():
        raise NephroscaleError("There are no predictions to check.", where=str(results), fix="Run the workflow first.")
    classes = json.loads(table.read_text())["classes"]
    found = [read_predictions(path, classes) for path in paths]
    labels = np.concatenate([predictions.labels for predictions in found])
    probabilities = np.concatenate([predictions.probabilities for predictions in found])
    return float(compute_metrics(labels, probabilities)["balanced_accuracy"].value or 0.0)


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


def claims(results: Path, truth: Path, permuted: list[Path]) -> list[Claim]:
    """Measure every claim of the demo."""
    full = balanced_accuracy(results, "cmusnet")
    best = max(balanced_accuracy(results, model) for model in SINGLE)
    dice, f1 = segmentation(results, truth)
    found = [
        Claim("balanced accuracy of the tri-modal CMUS-Net", full, 0.85),
        Claim("its lead over the best single modality", full - best, 0.10),
        Claim("Dice of glomeruli on slides not trained on", dice, 0.85),
        Claim("object F1 of glomeruli on slides not trained on", f1, 0.90),
    ]
    if permuted:
        mean = float(np.mean([balanced_accuracy(folder, "cmusnet") for folder in permuted]))
        found.append(
            Claim(f"mean balanced accuracy over {len(permuted)} label permutations", mean, 0.50, at_least=False)
        )
    return found


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
