"""Plan of a large cohort: seconds and memory of `snakemake -n all` with the real Snakefile, pre-pass included.

    python benchmarks/plan.py [--patients 10000] [--folder FOLDER]

A cohort of 10,000 patients with five images each is planned three times: with nothing made; with everything in the
store and the results folder deleted, so that each receipt and link is written again; and with everything made, after a
run that found it so. For the last two, objects and records are written without computing (tests/support/mock_study.py),
with as many files in each object as a run of the demo writes. A folder that is named is kept, and its content is used
again.

Prints one JSON object. The exit status is non-zero if a limit is exceeded or a plan is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from nephroscale.engine.prepass import settle  # noqa: E402
from support.mock_study import make_everything, make_project, open_plan  # noqa: E402

# CPU seconds and GB, for 10,000 patients.
LIMITS = {"nothing made": (80.0, 4.0), "results deleted": (240.0, 4.0), "everything made": (40.0, 4.0)}
FULL = 10_000
IMAGES = (("OM", "PASM", ""), ("IM", "", "IgG"), ("TEM", "", ""), ("TEM", "", ""), ("TEM", "", ""))
# Files of an object, as counted in a run of the tiny cohort.
FILES = {"tiles": 14, "glomeruli": 9, "bags": 11, "features": 11, "train": 3, "evaluate": 3, "predict": 6, "report": 6}


def make_checkout(folder: Path) -> None:
    """Make a folder in which `snakemake` can run."""
    for name in ("scripts", "resources"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "workflow", folder / "workflow")


def measure(folder: Path, case: str) -> dict[str, Any]:
    """Run and measure `snakemake -n all`."""
    log = folder / f"{case.replace(' ', '-')}.log"
    command = [sys.executable, "-m", "snakemake", "--configfile", "config.yaml", "--cores", "2", "-n", "--", "all"]
    start = time.perf_counter()
    with log.open("w") as stream:
        environment = {**os.environ, "PYTHONPATH": ""}
        child = subprocess.Popen(command, cwd=folder, stdout=stream, stderr=subprocess.STDOUT, env=environment)
        _, status, usage = os.wait4(child.pid, 0)
    seconds, memory = time.perf_counter() - start, usage.ru_maxrss / 1e6
    text = log.read_text()
    right = os.waitstatus_to_exitcode(status) == 0 and ("Nothing to be done" in text) == (case != "nothing made")
    cpu = usage.ru_utime + usage.ru_stime
    return {"seconds": round(seconds, 1), "cpu_s": round(cpu, 1), "peak_gb": round(memory, 2), "as_expected": right}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--patients", type=int, default=FULL)
    parser.add_argument("--folder", type=Path, help="folder to work in; it is kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        return run(folder, options.patients)


def run(folder: Path, patients: int) -> int:
    if not (folder / "images.csv").exists():
        make_checkout(folder)
        make_project(folder, patients, IMAGES)
    found: dict[str, Any] = {"patients": patients, "images": patients * len(IMAGES)}
    failed = False
    made = folder / "everything-made"
    for case, (most_seconds, most_gb) in LIMITS.items():
        if case == "nothing made" and made.exists():
            continue
        if case == "results deleted":
            if not made.exists():
                make_everything(folder, FILES)
                made.touch()
            (folder / "results").rename(folder / "results-aside")
        result = measure(folder, case)
        if case == "results deleted":
            (folder / "results-aside").rename(folder / "results")
            settle(open_plan(folder))
        result["seconds_of_limit"] = round(result["cpu_s"] / most_seconds, 3)
        result["memory_of_limit"] = round(result["peak_gb"] / most_gb, 3)
        failed |= not result["as_expected"] or result["seconds_of_limit"] > 1 or result["memory_of_limit"] > 1
        found[case] = result
    print(json.dumps(found, indent=2))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
