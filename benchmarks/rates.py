"""Seconds, memory and disk of each stage, from the records of finished runs: what `nephroscale estimate` starts from.

    python benchmarks/rates.py [CONFIG ...] [--folder FOLDER] [--write]

Reads the records of the cohorts whose configurations are named (default: config/tiny.yaml, after `make tiny`); their
paths are relative to FOLDER. The machine should do nothing else while the cohorts run. Prints the rates as JSON; with
--write they go into the package.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
from nephroscale.commands.estimate import RATES, Sample, collect_samples, fit_rate, rates_text  # noqa: E402
from nephroscale.commands.run import open_plan  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, nargs="*", default=[Path("config/tiny.yaml")])
    parser.add_argument("--folder", type=Path, default=ROOT, help="where the cohorts were run")
    parser.add_argument("--write", action="store_true", help=f"write {RATES.relative_to(ROOT)}")
    options = parser.parse_args()
    os.chdir(options.folder)
    samples: dict[str, list[Sample]] = defaultdict(list)
    order: list[str] = []
    for config in options.config:
        plan = open_plan(argparse.Namespace(configfile=[config], config=None))
        order = list(plan.stages)
        for stage, found in collect_samples(plan).items():
            samples[stage] += found
    if not samples:
        print("These cohorts have no records: run them first (make tiny).")
        return 0
    names = ", ".join(config.stem for config in options.config)
    rates = {stage: fit_rate(samples[stage]) for stage in order if stage in samples}
    text = rates_text(rates, f"cohorts {names}, {os.cpu_count()} cores, {platform.machine()}")
    print(text, end="")
    if options.write:
        RATES.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
