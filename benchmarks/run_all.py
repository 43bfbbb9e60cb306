"""Run every benchmark and print its output; the exit status is non-zero if one failed.

    python benchmarks/run_all.py [--small] [NAME ...]

kidney.py and mil.py are skipped without ../shared/data. They, coverage.py and chaos.py run in a short form.
With `--small`, every benchmark runs in a form of seconds, which shows that it runs and measures nothing.
"""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[1] / "shared"
FOLDERS = {"kidney": SHARED / "data/kidney_om", "mil": SHARED / "data/mil"}
OPTIONS = {
    "chaos": ["--seeds", "2"],
    "coverage": ["--draws", "3"],
    "kidney": ["--seeds", "1", "--no-fields"],
    "mil": ["--dataset", "musk1", "--networks", "abmil,abmil-gated"],
}
SLIDE = ["--width", "4096", "--height", "3072"]
SMALL = {
    "audit": ["--patients", "20"],
    "bags": ["--bags", "10", "--reads", "20"],
    "chaos": ["--seeds", "2", "--families", "abmil"],
    "coverage": ["--draws", "2"],
    "deposits": ["--images", "60", "--size", "64", "--rounds", "1"],
    "encode_units": [],
    "encoders": ["results/tiny", "--seeds", "1"],
    "kidney": ["--seeds", "1", "--steps", "2", "--no-fields"],
    "large_slide": SLIDE,
    "mil": ["--dataset", "musk1", "--networks", "abmil", "--epochs", "1"],
    "mil_step": ["--encoder", "small-cnn", "--size", "32", "--batch", "2", "--rounds", "1", "--steps", "1"],
    "overhead": [],
    "parity": [],
    "plan": ["--patients", "20"],
    "portable": ["--rounds", "1", "--steps", "1"],
    "rates": [],
    "readers": ["--rounds", "1", "--patches", "20"],
    "simulated_cohorts": [],
    "store": ["--objects", "200", "--megabytes", "2", "--cohort", "none"],
    "submissions": ["--jobs", "4", "--size", "2"],
    "tem": ["--images", "2", "--rounds", "1"],
    "tiles": [*SLIDE, "--repeats", "1"],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--small", action="store_true", help="see whether the benchmarks run")
    options = parser.parse_args()
    failed = []
    for path in sorted(HERE.glob("*.py")):
        if path.stem == "run_all" or (options.names and path.stem not in options.names):
            continue
        folder = FOLDERS.get(path.stem)
        if folder and not folder.is_dir():
            print(f"== {path.stem}: skipped, ../shared/{folder.relative_to(SHARED)} is absent")
            continue
        form = SMALL[path.stem] if options.small else OPTIONS.get(path.stem, [])
        arguments = [*form, *([str(folder)] if folder else [])]
        print(f"== {path.stem}", flush=True)
        if subprocess.run([sys.executable, str(path), *arguments], check=False).returncode:
            failed.append(path.stem)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
