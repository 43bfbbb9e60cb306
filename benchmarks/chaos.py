"""How far a change of one weight by 1e-7 moves a trained network, beside what another seed moves.

    python benchmarks/chaos.py [--families cmusnet,abmil] [--patients 37 400] [--seeds 3]

On the cohort of features (`nephroscale_demo.latent`): each network is trained with the defaults of `train` and each
seed in two-fold cross-validation, and again after one weight of its last matrix was changed by 1e-7 before the first
step. Printed are the absolute differences of balanced accuracy and of the probability of the true class: the largest
between a training and its changed copy, and the mean between two seeds. The exit status is 1 where the change moves the
balanced accuracy as far as a seed.
"""

from __future__ import annotations

import argparse
import sys
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "resources/demo")]
from nephroscale.models.registry import build  # noqa: E402
from nephroscale.training.settings import TrainSettings  # noqa: E402
from nephroscale_demo.latent import LatentPatient, LatentPlan, draw_patients  # noqa: E402
from support.feature_cohort import accuracy, cross_validate, own_probabilities  # noqa: E402

if TYPE_CHECKING:
    from nephroscale.evaluation.networks import Networks
    from nephroscale.models.network import Network

CHANGE = 1e-7


def build_changed(*given: Any, **options: Any) -> Network:
    """Build a network and change one of its weights."""
    network = build(*given, **options)
    last = [weight for weight in network.parameters() if weight.dim() > 1][-1]  # some first ones act on panels alone
    with torch.no_grad():
        last.view(-1)[0] += CHANGE
    return network


def compare(one: Networks, other: Networks) -> np.ndarray:
    """Differences of balanced accuracy, and of the probability of the true class (mean over the patients)."""
    moved = np.abs(own_probabilities(one) - own_probabilities(other)).mean()
    return np.array([abs(accuracy(one) - accuracy(other)), moved])


def measure(patients: list[LatentPatient], family: str, seeds: int) -> tuple[np.ndarray, ...]:
    """Give the largest differences by the change, and the mean ones by the seed."""
    plain = [
        cross_validate(patients, {"family": family}, TrainSettings(), seeds=[seed]) for seed in range(1, seeds + 1)
    ]
    with patch("nephroscale.training.fit.build", build_changed):
        changed = [
            cross_validate(patients, {"family": family}, TrainSettings(), seeds=[seed]) for seed in range(1, seeds + 1)
        ]
    by_change = [compare(one, other) for one, other in zip(plain, changed, strict=True)]
    return np.max(by_change, axis=0), np.mean([compare(*pair) for pair in combinations(plain, 2)], axis=0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", default="cmusnet,abmil", help="comma-separated")
    parser.add_argument("--patients", type=int, nargs="+", default=[37])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    failed = False
    print(f"{'network':<22}{'patients':<10}{'balanced accuracy: change, seed':<34}probability of the true class")
    for count in options.patients:
        patients = draw_patients(LatentPlan(count))
        for family in options.families.split(","):
            change, seed = measure(patients, family, options.seeds)
            accuracies, chances = (f"{a:.2g}, {b:.2g}" for a, b in zip(change, seed, strict=True))
            print(f"{family:<22}{count:<10}{accuracies:<34}{chances}", flush=True)
            failed |= bool(change[0] > 0 and change[0] >= seed[0])
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
