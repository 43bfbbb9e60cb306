"""Seconds, memory and disk of each stage, from the records of finished runs: what `nephroscale estimate` starts from.

    python benchmarks/rates.py [CONFIG ...] [--folder FOLDER] [--large FOLDER] [--write]

Reads the records of the cohorts whose configurations are named (default: config/tiny.yaml, after `make tiny`); their
paths are relative to FOLDER. With --large, a slide of 16,384 x 16,384 px is written into a new folder, and its
registration and tiling are measured too: how they grow with the size of a slide does not show in small images. The
machine should do nothing else while the cohorts run. Prints the rates as JSON; with --write they go into the package.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

import numpy as np
import tifffile

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
from nephroscale.commands.run import open_plan  # noqa: E402
from nephroscale.engine.rates import RATES, Sample, collect_samples, fit_rate  # noqa: E402

SIDE = 16384
LARGE = """data: {{root: {folder}, patients: {folder}/patients.csv, images: {folder}/images.csv}}
results: {folder}/results
store: {{path: {folder}/store}}
om: {{normalisation: none}}
"""


def run_large_slide(folder: Path) -> Path:
    """Write a study of one large slide, tile it, and return its configuration."""
    folder = folder.resolve()
    folder.mkdir(parents=True)
    source = next((ROOT / "demo/tiny/om").glob("*.svs"))
    field = tifffile.imread(source)
    times = -(-SIDE // min(field.shape[:2]))
    pixels = np.tile(field, (times, times, 1))[:SIDE, :SIDE]
    layout = {"tile": (256, 256), "compression": "jpeg", "photometric": "rgb"}
    with tifffile.TiffWriter(folder / "slide.tif", bigtiff=True) as out:
        out.write(pixels, **layout)
        for step in (4, 16):
            out.write(np.ascontiguousarray(pixels[::step, ::step]), subfiletype=1, **layout)
    (folder / "patients.csv").write_text("patient_id,use\nP1,diagnosis\n")
    (folder / "images.csv").write_text("image_id,patient_id,modality,stain,path,mpp\nP1-OM,P1,OM,PAS,slide.tif,0.5\n")
    config = folder / "study.yaml"
    config.write_text(LARGE.format(folder=folder))
    command = [sys.executable, "-m", "nephroscale", "run", "--configfile", str(config), "--cores", "1", "tiles"]
    subprocess.run(command, cwd=folder, check=True)
    return config


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, nargs="*", default=[Path("config/tiny.yaml")])
    parser.add_argument("--folder", type=Path, default=ROOT, help="where the cohorts were run")
    parser.add_argument("--large", type=Path, help="folder to create for a study of one large slide")
    parser.add_argument("--write", action="store_true", help=f"write {RATES.relative_to(ROOT)}")
    options = parser.parse_args()
    os.chdir(options.folder)
    samples: dict[str, list[Sample]] = defaultdict(list)
    order: list[str] = []
    large = [run_large_slide(options.large)] if options.large else []
    for config in [*options.config, *large]:
        plan = open_plan(argparse.Namespace(configfile=[config], config=None))
        order = list(plan.stages)
        for stage, found in collect_samples(plan).items():
            samples[stage] += found
    if not samples:
        print("These cohorts have no records: run them first (make tiny).")
        return 0
    names = ", ".join([*map(str, options.config), *("one large slide" for _ in large)])
    rates = {stage: fit_rate(samples[stage]) for stage in order if stage in samples}
    measured = f"{names}, {os.cpu_count()} cores, {platform.machine()}"
    content = {"measured": measured, "stages": {stage: asdict(rate) for stage, rate in rates.items()}}
    text = json.dumps(content, indent=2) + "\n"
    print(text, end="")
    if options.write:
        RATES.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
