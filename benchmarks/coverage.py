"""Coverage and width of the report's 95 % intervals, and the level of its tests, by simulation.

    python benchmarks/coverage.py [intervals] [retrained] [differences] [--draws N]

`intervals`: networks with a known balanced accuracy on new persons, from 0.57 to 0.99, in seven designs (balanced; 70,
20 and 10 % of the persons; one class more difficult than the others; two biopsies a person, with equal, related or
unrelated errors; the rarest class more difficult), for four numbers of persons.
For each point the coverage is the mean over the true values within 0.03 of it. `retrained`: a logistic regression,
trained and cross-validated on each cohort, and the interval of its expected figure, by the same points. `differences`:
two equally good models on the same persons: share of p-values below 0.05, also among the cohorts with 15 or more
discordant persons, and coverage of the intervals of their difference.

For each true value, N cohorts are drawn for the areas under ROC curves and for single classes, 10 N for balanced
accuracy and macro F1, N for `retrained` and N / 2 for `differences`. With the default N, the standard error of an
average is about 0.005 or less.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from simulated_cohorts import (
    CLASSES,
    DESIGNS,
    FOLDS,
    LABEL_METRICS,
    Intervals,
    check_intervals,
    class_sizes,
    draw,
    draw_outcomes,
    label_intervals,
    outcomes,
    probabilities,
    rank_intervals,
    share_intervals,
    shifts,
    true_figures,
)

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
from nephroscale.evaluation.comparison import compare_networks, count_discordant  # noqa: E402
from nephroscale.evaluation.networks import Networks, confusion_metrics  # noqa: E402

SIZES = (20, 37, 100, 400)
TRAINED = (37, 100)
VALUES = np.round(np.arange(0.57, 1.0, 0.02), 2)
POINTS = (0.60, 0.70, 0.80, 0.85, 0.90, 0.95, 0.97, 0.99)
CHUNK = 200


class Measured(NamedTuple):
    """Coverage and mean width of the intervals at one true value, and their number."""

    true: float
    coverage: float
    width: float
    number: int


def average(found: Iterable[Measured], points: Iterable[float] = POINTS) -> str:
    """Write coverage (width) averaged over the true values within 0.03 of each point, and the extremes."""
    table = np.array(list(found))
    text, errors = "", [0.0]
    for point in points:
        near = table[np.abs(table[:, 0] - point) < 0.0305]
        if len(near):
            text += f"{near[:, 1].mean():.3f} ({near[:, 2].mean():.2f}) "
            errors.append(float(np.sqrt((near[:, 1] * (1 - near[:, 1]) / near[:, 3]).sum()) / len(near)))
        else:
            text += f"{'-':13}"
    least = table[table[:, 1].argmin()]
    return f"{text} {least[1]:.3f} at {least[0]:.2f}  {max(errors):.4f}"


def measure_intervals(design: str, value: float, persons: int, draws: int) -> dict[str, Measured]:
    """Measure the intervals of one design at one true balanced accuracy."""
    true = true_figures(design, value, persons)
    random = np.random.default_rng([round(value * 100), persons, list(DESIGNS).index(design)])
    found = defaultdict(list)

    def note(intervals: dict[str, Intervals]) -> None:
        for name, its in intervals.items():
            found[name].append((its.cover(true[name]), its.width, len(its.value)))

    kinds = outcomes(DESIGNS[design].cases)
    for first in range(0, 10 * draws, 10 * CHUNK):
        number = min(10 * CHUNK, 10 * draws - first)
        note(label_intervals(draw_outcomes(design, value, persons, number, random), kinds))
    for first in range(0, draws, CHUNK):
        drawn = draw(design, value, persons, min(CHUNK, draws - first), random)
        note(rank_intervals(drawn) | share_intervals(drawn))
    measured = {}
    for name, rows in found.items():
        coverage, width, number = np.array(rows).T
        coverage, width = np.average([coverage, width], axis=1, weights=number).tolist()
        measured[name] = Measured(true[name], coverage, width, int(number.sum()))
    return measured


def report_intervals(draws: int) -> None:
    """Print coverage and width by design and number of persons, around the points of each figure's own true value.

    The standard errors take the intervals of a cohort's three classes as independent.
    """
    for design in DESIGNS:
        for persons in SIZES:
            report_design(design, persons, draws)


def report_design(design: str, persons: int, draws: int) -> None:
    """Print the table of one design and number of persons, after a comparison with the package's intervals."""
    for value in (0.6, 0.85, 0.97):
        check_intervals(design, value, persons)
    cells = [measure_intervals(design, float(value), persons, draws) for value in VALUES]
    head = " ".join(f"{point:12.2f}" for point in POINTS)
    print(f"\n{design}, {persons} persons\n{'coverage (width)':18}{head}    least    standard error")
    for name in dict.fromkeys(name.split()[0] for cell in cells for name in cell):
        rows = [row for cell in cells for key, row in cell.items() if key.split()[0] == name]
        print(f"{name:18}{average(rows)}", flush=True)


def fit_logistic(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Fit multinomial logistic regressions with an L2 penalty (C = 1) to many cohorts at once, by Newton's method.

    Parameters
    ----------
    x
        [B, n, d] of B cohorts.
    labels
        [n].

    Returns
    -------
    ndarray
        [B, d + 1, K] coefficients, the intercepts last.
    """
    wide = np.concatenate([x, np.ones((*x.shape[:2], 1))], axis=2)
    cohorts, n, width = wide.shape
    penalty = np.repeat(np.r_[np.ones(width - 1), 1e-6], CLASSES)
    found = np.zeros((cohorts, width, CLASSES))
    target, size = np.eye(CLASSES)[labels], len(penalty)
    products = (wide[..., :, None] * wide[..., None, :]).reshape(cohorts, n, width**2).transpose(0, 2, 1)
    for _ in range(8):
        p = probabilities(wide @ found)
        slope = (wide.transpose(0, 2, 1) @ (p - target)).reshape(cohorts, -1) + penalty * found.reshape(cohorts, -1)
        weight = p[..., :, None] * np.eye(CLASSES) - p[..., :, None] * p[..., None, :]
        curve = (products @ weight.reshape(cohorts, n, -1)).reshape(cohorts, width, width, CLASSES, CLASSES)
        curve = curve.transpose(0, 1, 3, 2, 4).reshape(cohorts, size, size) + np.diag(penalty)
        found -= np.linalg.solve(curve, slope[..., None])[..., 0].reshape(found.shape)
    return found


def cross_validate(persons: int, lead: float, draws: int, fresh: int) -> tuple[np.ndarray, dict[str, float]]:
    """Train and cross-validate logistic regressions of ten features on many cohorts.

    Returns
    -------
    counts, expected
        [B, K, K] confusion matrices out of fold; mean figures of the trained models on `fresh` other persons each.
    """
    random = np.random.default_rng([persons, round(lead * 100)])
    labels, folds, many = (
        np.arange(persons) % CLASSES,
        np.arange(persons) // CLASSES % FOLDS,
        np.arange(fresh) % CLASSES,
    )

    def sample(labels: np.ndarray, cohorts: int) -> np.ndarray:
        return np.asarray(random.normal(size=(cohorts, len(labels), 10)) + lead * np.eye(10)[labels])

    def classify(fitted: np.ndarray, x: np.ndarray) -> np.ndarray:
        return np.asarray((x @ fitted[:, :-1] + fitted[:, -1:]).argmax(axis=2))

    def count(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        rows = [np.bincount(CLASSES * labels + each, minlength=CLASSES**2) for each in predicted]
        return np.reshape(rows, (-1, CLASSES, CLASSES))

    counts, expected = [], defaultdict(list)
    for first in range(0, draws, CHUNK):
        x = sample(labels, min(CHUNK, draws - first))
        predicted = np.zeros(x.shape[:2], int)
        for fold in range(FOLDS):
            fitted = fit_logistic(x[:, folds != fold], labels[folds != fold])
            predicted[:, folds == fold] = classify(fitted, x[:, folds == fold])
            metrics = confusion_metrics(count(many, classify(fitted, sample(many, len(x)))))
            for metric in LABEL_METRICS:
                expected[metric] += metrics[metric].tolist()
        counts.append(count(labels, predicted))
    return np.concatenate(counts), {metric: float(np.mean(its)) for metric, its in expected.items()}


def report_retrained(draws: int) -> None:
    """Print the coverage of the expected figure of a cross-validated logistic regression, trained in each cohort."""
    print("\nretrained cross-validation, coverage (width) of the expected figure of a newly trained model")
    print(f"{'':29}" + " ".join(f"{point:12.2f}" for point in POINTS) + "    least    standard error")
    for persons in TRAINED:
        measured, ratios = defaultdict(list), defaultdict(list)
        for lead in np.arange(1.0, 3.75, 0.05):
            counts, expected = cross_validate(persons, float(lead), draws, 500 if draws > CHUNK else 100)
            for metric, its in label_intervals(counts, outcomes(1)).items():
                true = expected[metric]
                measured[metric].append(Measured(true, its.cover(true), its.width, len(counts)))
                ratios[metric].append(its.value.var() * persons / (true * (1 - true)))
        for metric, rows in measured.items():
            print(f"{persons:3} persons {metric:18}{average(rows)}")
            print(
                f"{'':12}variance between cohorts / variance of as many coins: {np.mean(ratios[metric]):.2f}",
                flush=True,
            )
    print(
        "Another cohort trains other networks. The intervals contain a fixed allowance for this, not an estimate: the\n"
        "persons of a cohort are shared by the trainings of all folds (Bengio and Grandvalet, 2004)."
    )


def report_differences(draws: int) -> None:
    """Print the share of p-values below 0.05 for two equally good models, and the coverage of a difference of 0."""
    print("\ntwo equally good models: share of p < 0.05, and coverage of the interval of their difference")
    for design, persons, networks, value in (
        ("balanced", 20, 1, 0.8),
        ("balanced", 37, 1, 0.6),
        ("balanced", 37, 1, 0.85),
        ("balanced", 37, 3, 0.85),
        ("balanced", 37, 1, 0.95),
        ("balanced", 60, 1, 0.7),
        ("balanced", 100, 1, 0.8),
        ("balanced", 100, 3, 0.8),
        ("70/20/10 %", 100, 1, 0.8),
        ("one hard class", 100, 1, 0.8),
        ("two biopsies", 37, 1, 0.7),
    ):
        random = np.random.default_rng([persons, networks, int(100 * value)])
        labels = np.repeat(np.arange(CLASSES), class_sizes(design, persons))
        people = np.arange(persons)
        folds = people % FOLDS
        if design == "two biopsies":
            labels, folds, people = (np.repeat(each, 2) for each in (labels, folds, people))
        lead = shifts(design, value)[labels][:, None] * np.eye(CLASSES)[labels]
        found, discordant = defaultdict(list), []
        for number in range(max(1, draws // 2)):
            common = random.normal(size=(1, len(labels), CLASSES))
            pair = []
            for _ in range(2):
                noise = np.sqrt(0.5) * (common + random.normal(size=(networks, len(labels), CLASSES)))
                pair.append(Networks.of(labels, probabilities(noise + lead), people, folds))
            discordant.append(sum(vars(count_discordant(*pair)).values()))
            for name, d in compare_networks(*pair, swaps=500, seed=number).items():
                found[name].append(
                    (d.p < 0.05, d.interval.low <= 0 <= d.interval.high, d.interval.high - d.interval.low)
                )
        many = np.array(discordant) >= 15
        for name, rows in found.items():
            p, covered, width = np.mean(rows, axis=0)
            of_many = f"{np.mean(np.array(rows)[many, 0]):.3f}" if many.sum() >= 50 else "-"
            print(
                f"{design:15}{persons:4} persons, {networks} networks, balanced accuracy {value:.2f}, "
                f"{np.mean(discordant):4.1f} discordant  {name:18} p {p:.3f}  15 or more: {of_many}  "
                f"coverage {covered:.3f} ({width:.2f})",
                flush=True,
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"intervals": report_intervals, "retrained": report_retrained, "differences": report_differences}
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(parts))
    parser.add_argument("--draws", type=int, default=800, help="simulated cohorts for each true value")
    options = parser.parse_args()
    for name in options.parts or parts:
        parts[name](options.draws)
    return 0


if __name__ == "__main__":
    sys.exit(main())
