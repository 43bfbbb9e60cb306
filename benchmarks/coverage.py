"""Coverage and width of the report's 95 % intervals, and the level of its tests, by simulation.

    python benchmarks/coverage.py [intervals] [retrained] [differences] [--draws N]

`intervals`: networks with a known balanced accuracy on new persons, from 0.57 to 0.99, in four designs (balanced; 70,
20 and 10 % of the persons; one class more difficult than the others; two biopsies a person), for four numbers of
persons.
For each point the coverage is the mean over the true values within 0.03 of it. `retrained`: a logistic regression,
trained and cross-validated on each cohort, and the interval of its expected figure, by the same points. `differences`:
two equally good models on the same persons: share of p-values below 0.05, also among the cohorts with 15 or more
discordant persons, and coverage of the intervals of their difference.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from functools import lru_cache
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
from nephroscale.evaluation.comparison import compare_networks, count_discordant, rank_area  # noqa: E402
from nephroscale.evaluation.networks import (  # noqa: E402
    Networks,
    confusion_metrics,
    equal_sizes,
    estimate_classes,
    estimate_figures,
    sample_metrics,
    summarise,
)

CLASSES, FOLDS = 3, 5
SIZES = (20, 37, 100, 400)
VALUES = np.round(np.arange(0.57, 1.0, 0.02), 2)
POINTS = (0.60, 0.70, 0.80, 0.85, 0.90, 0.95, 0.97, 0.99)
DESIGNS = {"balanced": (1, 1, 1), "70/20/10 %": (7, 2, 1), "one hard class": (1, 1, 1), "two biopsies": (1, 1, 1)}


def class_sizes(design: str, persons: int) -> np.ndarray:
    """Persons of each class."""
    shares = np.array(DESIGNS[design]) / sum(DESIGNS[design])
    sizes = np.round(shares * persons).astype(int)
    sizes[0] += persons - sizes.sum()
    return np.asarray(sizes)


def sensitivities(design: str, value: float) -> np.ndarray:
    """Sensitivity of each class for a balanced accuracy."""
    if design != "one hard class":
        return np.full(CLASSES, value)
    others = min(value + 0.1, value + (1 - value) * 5 / 6)
    return np.array([others, others, 3 * value - 2 * others])


@lru_cache(maxsize=1)
def _noise() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(100_000, CLASSES))


@lru_cache(maxsize=1)
def _margins() -> np.ndarray:
    noise = _noise()
    return np.sort(noise[:, 1:].max(axis=1) - noise[:, 0])


def shifts(design: str, value: float) -> np.ndarray:
    """Shift of the true class's score that gives the sensitivities: quantiles of the lead of the other scores."""
    return np.asarray(np.quantile(_margins(), sensitivities(design, value)))


def probabilities(scores: np.ndarray) -> np.ndarray:
    """Softmax of the scores [..., K]."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


@lru_cache(maxsize=1024)
def _rates_and_areas(lead: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Share of each class predicted as each class, and the area of each class against each other one."""
    drawn = [probabilities(_noise()[:20_000] + lead[c] * np.eye(CLASSES)[c]) for c in range(CLASSES)]
    rates = np.array([np.bincount(p.argmax(axis=1), minlength=CLASSES) / len(p) for p in drawn])
    own = np.arange(40_000) < 20_000
    areas = [
        [float(rank_area(np.r_[drawn[c][:, c], drawn[j][:, c]][None], own)[0]) for j in range(CLASSES)]
        for c in range(CLASSES)
    ]
    return rates, np.array(areas)


def truth(design: str, value: float, sizes: np.ndarray) -> dict[str, float]:
    """True figures on new persons in these proportions of classes."""
    rates, areas = _rates_and_areas(tuple(shifts(design, value).tolist()))
    found = {metric: float(v) for metric, v in confusion_metrics(rates * sizes[:, None]).items()}
    each = []
    for c in range(CLASSES):
        others = np.arange(CLASSES) != c
        each.append(float(np.average(areas[c, others], weights=sizes[others])))
        negatives = float(np.average(1 - rates[others, c], weights=sizes[others]))
        found |= {f"sensitivity {c}": float(rates[c, c]), f"specificity {c}": negatives, f"AUC {c}": each[-1]}
    return found | {"macro_auc": float(np.mean(each))}


def draw(design: str, value: float, persons: int, random: np.random.Generator) -> Networks:
    """Draw one cohort and its predictions, in folds with persons of all classes where there are enough."""
    sizes = class_sizes(design, persons)
    labels = np.repeat(np.arange(CLASSES), sizes)
    folds = np.arange(persons) % FOLDS
    people = np.arange(persons)
    noise = random.normal(size=(persons, CLASSES))
    if design == "two biopsies":
        labels, folds, people = (np.repeat(each, 2) for each in (labels, folds, people))
        noise = np.sqrt(0.5) * (np.repeat(noise, 2, axis=0) + random.normal(size=(2 * persons, CLASSES)))
    scores = noise + shifts(design, value)[labels][:, None] * np.eye(CLASSES)[labels]
    return Networks.of(labels, probabilities(scores), people, folds)


def simulate_intervals(design: str, value: float, persons: int, draws: int) -> dict[str, tuple[float, float, float]]:
    """True value of each figure, coverage and mean width of its interval; every third cohort for single classes."""
    true = truth(design, float(value), class_sizes(design, persons))
    random = np.random.default_rng([round(value * 100), persons, list(DESIGNS).index(design)])
    found = defaultdict(list)
    for number in range(draws):
        networks = draw(design, value, persons, random)
        figures = dict(estimate_figures(networks))
        for c, its in enumerate(estimate_classes(networks) if number % 3 == 0 else ()):
            figures |= {f"{n} {c}": f for n, f in zip(("sensitivity", "specificity", "AUC"), its, strict=True)}
        for name, figure in figures.items():
            if figure.interval is not None:
                low, high = figure.interval.low, figure.interval.high
                found[name].append((low - 1e-9 <= true[name] <= high + 1e-9, high - low))
    return {name: (true[name], *np.mean(rows, axis=0).tolist()) for name, rows in found.items()}


def report_intervals(draws: int) -> None:
    """Print coverage and width by design and number of persons, around the points of each figure's own true value."""
    head = " ".join(f"{point:12.2f}" for point in POINTS)
    for design in DESIGNS:
        for persons in SIZES:
            cells = [simulate_intervals(design, value, persons, draws) for value in VALUES]
            print(f"\n{design}, {persons} persons\n{'coverage (width)':18}{head}   least")
            for name in dict.fromkeys(name.split()[0] for cell in cells for name in cell):
                table = np.array([row for cell in cells for key, row in cell.items() if key.split()[0] == name])
                text = ""
                for point in POINTS:
                    near = table[np.abs(table[:, 0] - point) < 0.0305]
                    text += f"{near[:, 1].mean():.3f} ({near[:, 2].mean():.2f}) " if len(near) else f"{'-':13}"
                least = table[table[:, 1].argmin()]
                print(f"{name:18}{text}  {least[1]:.3f} at {least[0]:.2f}", flush=True)


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
    cohorts, _, width = wide.shape
    penalty = np.repeat(np.r_[np.ones(width - 1), 1e-6], CLASSES)
    found = np.zeros((cohorts, width, CLASSES))
    target = np.eye(CLASSES)[labels]
    for _ in range(8):
        p = probabilities(wide @ found)
        slope = np.einsum("bnd,bnk->bdk", wide, p - target).reshape(cohorts, -1) + penalty * found.reshape(cohorts, -1)
        weight = p[..., :, None] * np.eye(CLASSES) - p[..., :, None] * p[..., None, :]
        curve = np.einsum("bnd,bnkl,bne->bdkel", wide, weight, wide, optimize=True)
        curve = curve.reshape(cohorts, len(penalty), len(penalty)) + np.diag(penalty)
        found -= np.linalg.solve(curve, slope[..., None])[..., 0].reshape(found.shape)
    return found


def report_retrained(draws: int) -> None:
    """Print the coverage of the expected figure of a cross-validated logistic regression, trained in each cohort."""

    def sample(labels: np.ndarray, lead: float, random: np.random.Generator) -> np.ndarray:
        return np.asarray(random.normal(size=(draws, len(labels), 10)) + lead * np.eye(10)[labels])

    def predict(fitted: np.ndarray, x: np.ndarray) -> np.ndarray:
        return probabilities(x @ fitted[:, :-1] + fitted[:, -1:])

    print("\nretrained cross-validation, coverage (width) of the expected figure of a newly trained model")
    many = np.arange(498) % CLASSES
    for persons in (37, 100):
        labels, folds = np.arange(persons) % CLASSES, np.arange(persons) // CLASSES % FOLDS
        rows = defaultdict(list)
        for lead in np.arange(1.1, 3.4, 0.2):
            random = np.random.default_rng([persons, round(lead * 10)])
            x, predicted, expected = sample(labels, lead, random), np.zeros((draws, persons, CLASSES)), []
            for fold in range(FOLDS):
                fitted = fit_logistic(x[:, folds != fold], labels[folds != fold])
                predicted[:, folds == fold] = predict(fitted, x[:, folds == fold])
                fresh = predict(fitted, sample(many, lead, random)).argmax(axis=2)
                counts = [np.bincount(CLASSES * many + each, minlength=CLASSES**2) for each in fresh]
                expected.append(confusion_metrics(np.reshape(counts, (draws, CLASSES, CLASSES))))
            intervals = defaultdict(list)
            for each in predicted:
                networks = Networks.of(labels, each, None, folds)
                samples, sizes = sample_metrics(networks), equal_sizes(networks)
                for name in ("balanced_accuracy", "macro_f1"):
                    found = summarise(networks, samples[name], sizes[name]).interval
                    intervals[name].append((found.low, found.high, found.value) if found else (0, 1, 0))
            for name, its in intervals.items():
                low, high, value = np.array(its).T
                true = float(np.mean([each[name] for each in expected]))
                ratio = value.var() * persons / (true * (1 - true))
                rows[name].append((true, np.mean((low <= true) & (true <= high)), np.mean(high - low), ratio))
        for name, found in rows.items():
            table = np.array(found)
            text = ""
            for point in POINTS[:-1]:
                near = table[np.abs(table[:, 0] - point) < 0.0305]
                text += f"  {point:.2f}: {near[:, 1].mean():.3f} ({near[:, 2].mean():.2f})" if len(near) else ""
            least = table[table[:, 1].argmin()]
            print(f"{persons:4} persons  {name:18}{text}  least {least[1]:.3f} at {least[0]:.2f}")
            print(f"{'':14}variance between cohorts / variance of as many coins: {table[:, 3].mean():.2f}", flush=True)
    print(
        "The intervals leave out that another cohort trains other networks: the persons of a cohort are shared by the\n"
        "trainings of all folds, and this variance cannot be estimated from one cohort (Bengio and Grandvalet, 2004)."
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
        for number in range(draws):
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
    parser.add_argument("--draws", type=int, default=400, help="simulated cohorts for each true value")
    options = parser.parse_args()
    for name in options.parts or parts:
        parts[name](options.draws)
    return 0


if __name__ == "__main__":
    sys.exit(main())
