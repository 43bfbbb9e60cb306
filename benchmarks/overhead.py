"""What a run costs beside its stages: processor seconds of all processes, and those in the stages' own functions.

    python benchmarks/overhead.py [--config config/tiny.yaml] [--cores 2] [--keep FOLDER]

The cohort is computed from an empty store in a folder of its own; its raw images have to be there (`make tiny`, or
`make demo` for config/config.yaml). Counted are Snakemake and every process that comes from it. The rest is starting,
importing, planning, digests and the store. What a stage imports while it computes counts as the stage's. Printed last
is the share that is spent outside the stages; the aim is a quarter.
"""

import argparse
import contextlib
import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PR_SET_CHILD_SUBREAPER = 36


def used() -> float:
    """Processor seconds of all processes that have ended and come from this one."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(config: Path, folder: Path, cores: int) -> tuple[float, float]:
    """Run the workflow; return wall and processor seconds, those of processes whose parent ended first included."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    places = [f"results={folder / 'results'}", f"store={{path: {folder / 'store'}}}"]
    command = [sys.executable, "-m", "snakemake", "--configfile", str(config), "--config", *places]
    before, start = used(), time.perf_counter()
    with (folder / "log").open("w") as log:
        options = ["--cores", str(cores), "--directory", str(ROOT), "--", "all"]
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        how = {"stdout": log, "stderr": log, "cwd": ROOT, "env": variables}
        status = subprocess.run([*command, *options], check=False, **how).returncode
    wall = time.perf_counter() - start
    if status:
        sys.exit(f"the run failed, see {folder / 'log'}:\n{(folder / 'log').read_text()[-2000:]}")
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    return wall, used() - before


def main() -> None:
    """Run a cohort and print where its processor time went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=ROOT / "config" / "tiny.yaml")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder for results and store; without it they are deleted")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        wall, total = run(arguments.config.resolve(), folder.resolve(), arguments.cores)
        stages: dict[str, list[float]] = defaultdict(list)
        for path in (folder / "store" / "records").rglob("*.json"):
            record = json.loads(path.read_text())
            stages[record["receipt"]["stage"]].append(record["made"]["cpu_seconds"])
    for name, seconds in sorted(stages.items(), key=lambda row: -sum(row[1])):
        print(f"{name:16} {len(seconds):5d} units {sum(seconds):8.1f} CPU s")
    inside = sum(map(sum, stages.values()))
    print(f"wall {wall:.1f} s on {arguments.cores} cores, all processes {total:.1f} CPU s, stages {inside:.1f} CPU s")
    print(f"outside the stages: {1 - inside / total:.2f}")


if __name__ == "__main__":
    main()
