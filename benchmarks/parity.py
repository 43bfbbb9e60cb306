"""Compare `variant: released` with numbers from the authors' code.

    python benchmarks/parity.py [FOLDER]

Runs every npz of the folder (resources/parity by default) and prints, case by case, the largest error relative to its
bound: |a - b| <= 1e-6 + 1e-5 |b| for outputs, losses and the selection of SMIL, 1e-6 + 1e-4 |b| for gradients and for
the parameters after five steps. The last line is `worst: X`; above 1 the exit status is 1.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from support.parity import compare  # noqa: E402


def main() -> int:
    """Run all cases of the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "resources/parity", help="folder of npz files")
    paths = sorted(parser.parse_args().folder.glob("*.npz"))
    if not paths:
        sys.exit("no npz file in this folder")
    worst = 0.0
    for path in paths:
        with np.load(path, allow_pickle=False) as archive:
            errors = compare({key: archive[key] for key in archive.files})
        worst = max(worst, *errors.values())
        details = ", ".join(f"{name} {value:.3g}" for name, value in errors.items())
        print(f"{path.stem}: {max(errors.values()):.3g} ({details})")
    print(f"worst: {worst:.4g}")
    return int(not worst <= 1)


if __name__ == "__main__":
    sys.exit(main())
