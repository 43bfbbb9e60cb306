"""The plan of a large cohort: seconds and memory of `snakemake -n all`, pre-pass included, by the real Snakefile.

    python benchmarks/plan.py [--patients 10000] [--folder FOLDER]

A cohort of 10,000 patients with five images each is planned three times: with nothing made; with everything in the
store and the results folder deleted, so that each receipt and link is written again; and with everything made. For the
last two, objects and records are put into a store by the package's own functions, with as many files in each object as
a run of the demo writes, but without computing: what they hold means nothing. A folder that is named is kept, and what
is in it already is used again.

Prints one JSON object; the exit status is non-zero where a limit is passed or a plan is not what it has to be.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from nephroscale.artifacts.digest import digest_json
from nephroscale.artifacts.receipts import Receipt
from nephroscale.cohort.eligible import write_folds
from nephroscale.stages.plan import Plan, Recipe

ROOT = Path(__file__).resolve().parents[1]
# Seconds and GB, for 10,000 patients.
LIMITS = {"nothing made": (240.0, 4.0), "results deleted": (240.0, 4.0), "everything made": (120.0, 4.0)}
FULL = 10_000
CLASSES = ("IgAN", "MN", "LN")
IMAGES = (("OM", "PASM", ""), ("IM", "", "IgG"), ("TEM", "", ""), ("TEM", "", ""), ("TEM", "", ""))
# Files of an object, as counted in a run of the tiny cohort.
FILES = {"tiles": 14, "glomeruli": 9, "bags": 11, "features": 11, "train": 3, "evaluate": 3, "report": 6}


def make_project(folder: Path, patients: int) -> None:
    """Write the tables, one small raw file for every image, and a checkout to run in."""
    for name in ("scripts", "resources"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "workflow", folder / "workflow")
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    config["data"] = {"root": "raw", "patients": "patients.csv", "images": "images.csv"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    people, images = [], []
    for number in range(patients):
        patient = f"P{number:06d}"
        people.append([patient, CLASSES[number % 3], "north" if number % 2 else "south"])
        below = folder / "raw" / f"{number // 1000:03d}"
        below.mkdir(parents=True, exist_ok=True)
        for place, (modality, stain, marker) in enumerate(IMAGES):
            image = f"{patient}-{modality}{place}"
            (below / f"{image}.tif").write_bytes(image.encode())
            nm_per_px = "8" if modality == "TEM" else ""
            images.append([image, patient, modality, stain, marker, f"{below.name}/{image}.tif", nm_per_px])
    _write_table(folder / "patients.csv", ["patient_id", "diagnosis", "site"], people)
    header = ["image_id", "patient_id", "modality", "stain", "marker", "path", "nm_per_px"]
    _write_table(folder / "images.csv", header, images)


def _write_table(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])


def make_everything(folder: Path) -> None:
    """Put an object and a record into the store for every unit of every stage, as a run would have."""
    plan = _plan(folder)
    for name in plan.stages:
        units = plan.units(name)
        if len(units) < 1000:
            _make_units(plan, name, units)
            continue
        with ProcessPoolExecutor(2) as pool:
            pieces = [pool.submit(_make_piece, folder, name, units[start::8]) for start in range(8)]
            for piece in pieces:
                piece.result()


def _plan(folder: Path) -> Plan:
    os.chdir(folder)
    return Plan(yaml.safe_load((folder / "config.yaml").read_text()), scripts=folder / "scripts")


def _make_piece(folder: Path, stage: str, units: list[str]) -> None:
    _make_units(_plan(folder), stage, units)


def _make_units(plan: Plan, name: str, units: list[str]) -> None:
    stage = plan.stages[name]
    for unit in units:
        for image in stage.raw(plan, unit) if name == "register" else []:
            plan.raw_cache.digest(image.path)
        recipe = plan.examine(stage, unit)
        assert isinstance(recipe, Recipe), f"{name} of {unit} cannot be known"
        with plan.store.scratch() as scratch:
            parts = _make_object(name, unit, recipe, scratch / "out")
            published = plan.store.publish(scratch / "out")
        receipt = Receipt(name, unit, "accepted", **published._asdict(), figures={"n": 1}, parts=parts)
        made = {"started": "2026-01-01T00:00:00Z", "seconds": 1.0, "node": "bench", "device": "cpu", "peak_mb": 1}
        plan.records.add(recipe.digest, recipe, receipt, made)
        path = plan.receipt_path(name, unit)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(receipt.text())


def _make_object(name: str, unit: str, recipe: Recipe, out: Path) -> dict[str, str]:
    if name == "folds":
        return write_folds(recipe["rows"], {}, recipe["settings"], recipe["seed"], out)[1]
    if name == "register":
        digests = recipe["inputs"]
        facts = {image: {"status": "accepted", "reader": "tiff", "digest": digests[image]} for image in digests}
        out.write_text(json.dumps(facts))
        return {image: digest_json(fact) for image, fact in facts.items()}
    for number in range(FILES.get(name, 6)):
        file = out / str(number % 4) / "c" / f"{number}.bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{name} {unit} {number}")
    return {}


def measure(folder: Path, case: str) -> dict[str, Any]:
    """Plan as a user does, and measure it."""
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
    parser.add_argument("--folder", type=Path, help="where to work; kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        return run(folder, options.patients)


def run(folder: Path, patients: int) -> int:
    if not (folder / "images.csv").exists():
        make_project(folder, patients)
    found: dict[str, Any] = {"patients": patients, "images": patients * len(IMAGES)}
    failed = False
    made = folder / "everything-made"
    for case, (most_seconds, most_gb) in LIMITS.items():
        if case == "nothing made" and made.exists():
            continue
        if case == "results deleted":
            if not made.exists():
                make_everything(folder)
                made.touch()
            shutil.rmtree(folder / "results", ignore_errors=True)
        result = measure(folder, case)
        result["seconds_of_limit"] = round(result["seconds"] / most_seconds, 3)
        result["memory_of_limit"] = round(result["peak_gb"] / most_gb, 3)
        failed |= not result["as_expected"] or result["seconds_of_limit"] > 1 or result["memory_of_limit"] > 1
        found[case] = result
    print(json.dumps(found, indent=2))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
