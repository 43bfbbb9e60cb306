"""Check a finished demo run against the demo's claims, and the documents against the run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nephroscale.errors import NephroscaleError
from nephroscale_demo.figures import FIGURES, RunFigures, collect, compare
from nephroscale_demo.measures import SINGLE, SUBSETS, Claim, read_ceilings

if TYPE_CHECKING:
    from nephroscale_demo.measures import Ceilings

BY_CHANCE = 0.05
"""By how much a network may be above the ceiling on the cohort's own cases: some rule fits their pictures better."""


def claims(run: RunFigures, ceilings: Ceilings) -> list[Claim]:
    """Compare a run with every claim of the demo (docs/demo.md lists them)."""
    best, full = ceilings["cohort"], run.models["cmusnet"]
    singles = {name: run.models[name] for name in SINGLE}
    regret = {name: best[SUBSETS[name]]["accuracy"] - one.balanced_accuracy for name, one in run.models.items()}
    losses = {name: one.log_loss for name, one in run.models.items() if one.log_loss is not None}
    lead = full.balanced_accuracy - max(one.balanced_accuracy for one in singles.values())
    found = [
        Claim(
            "regret of the tri-modal CMUS-Net: ceiling minus balanced accuracy", regret["cmusnet"], 0.25, at_least=False
        ),
        Claim("its log-loss", losses["cmusnet"], 0.80, at_least=False),
        Claim("its lead over the best single modality", lead, 0.05),
        Claim(
            "log-loss of the best single modality minus its own",
            min(losses[name] for name in SINGLE) - losses["cmusnet"],
            0.05,
        ),
        *(Claim(f"regret of {name}, which a leak would make negative", regret[name], -BY_CHANCE) for name in SINGLE),
        Claim("Dice of glomeruli on slides not trained on", run.dice, 0.95),
        Claim("object F1 of glomeruli on slides not trained on", run.f1, 0.98),
    ]
    if run.permuted is not None:
        what = f"mean balanced accuracy over {run.permutations} label permutations"
        found.append(Claim(what, run.permuted, 0.50, at_least=False))
    if run.permutation_p is not None:
        least = 1 / (run.permutations + 1)
        found.append(Claim("p-value by these permutations", run.permutation_p, least + 0.01, at_least=False))
    return found


def main() -> int:
    """Print each claim and whether it holds; exit with status 1 if one does not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results/demo"))
    parser.add_argument("--truth", type=Path, default=Path("demo/demo/truth"))
    parser.add_argument("--permuted", type=Path, nargs="*", default=[], help="results of runs with task.permute_labels")
    options = parser.parse_args()
    try:
        run = collect(options.results, options.truth, options.permuted)
        found = claims(run, read_ceilings(options.truth))
    except NephroscaleError as fault:
        print(f"nephroscale: {fault}", file=sys.stderr)
        return 1
    found += compare(RunFigures.from_json(FIGURES.read_text(encoding="utf-8")), run)
    print("\n".join(map(str, found)))
    return 0 if all(claim.holds for claim in found) else 1


if __name__ == "__main__":
    sys.exit(main())
