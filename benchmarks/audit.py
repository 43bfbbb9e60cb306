"""The audit of a large study: seconds and memory from receipts and records to page and crate, for 100,000 artifacts.

    python benchmarks/audit.py [--patients 11111] [--folder FOLDER]

A cohort of 11,111 patients with three images each has 100,000 artifacts. Objects, receipts and records are written by
the package's own functions, without computing: what the objects hold means nothing. A folder that is named is kept, and
what is in it already is used again.

Prints one JSON object; the exit status is non-zero where the limit is passed or the audit is not what it has to be.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
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
from nephroscale.audit.write import write_audit
from nephroscale.cohort.eligible import write_folds
from nephroscale.stages.plan import Plan, Recipe

ROOT = Path(__file__).resolve().parents[1]
FULL, MOST_SECONDS = 11_111, 60.0
CLASSES = ("IgAN", "MN", "LN")
IMAGES = (("OM", "PASM", ""), ("IM", "", "IgG"), ("TEM", "", ""))
MADE = {"started": "2026-01-01T00:00:00Z", "seconds": 1.0, "node": "bench", "device": "cpu", "peak_mb": 1, "git": None}


def make_project(folder: Path, patients: int) -> None:
    """Write the configuration, the tables, and one small raw file for every image."""
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    config["data"] = {"root": "raw", "patients": "patients.csv", "images": "images.csv"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    people, images = [], []
    (folder / "raw").mkdir()
    for number in range(patients):
        patient = f"P{number:06d}"
        people.append([patient, CLASSES[number % 3], "north" if number % 2 else "south"])
        for modality, stain, marker in IMAGES:
            image = f"{patient}-{modality}-1"
            (folder / "raw" / f"{image}.tif").write_bytes(image.encode())
            nm_per_px = "8" if modality == "TEM" else ""
            images.append([image, patient, modality, stain, marker, f"{image}.tif", nm_per_px])
    _write_table(folder / "patients.csv", ["patient_id", "diagnosis", "site"], people)
    header = ["image_id", "patient_id", "modality", "stain", "marker", "path", "nm_per_px"]
    _write_table(folder / "images.csv", header, images)


def _write_table(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])


def _plan(folder: Path) -> Plan:
    os.chdir(folder)
    return Plan(yaml.safe_load((folder / "config.yaml").read_text()))


def make_everything(folder: Path) -> None:
    """Write the receipt and the record of every unit of every stage, as a run would have."""
    plan = _plan(folder)
    for stage in plan.stages_before("audit"):
        units = plan.units(stage)
        if len(units) < 1000:
            make_units(plan, stage, units)
            continue
        with ProcessPoolExecutor(2) as pool:
            for done in [pool.submit(_make_piece, folder, stage, units[start::8]) for start in range(8)]:
                done.result()


def _make_piece(folder: Path, stage: str, units: list[str]) -> None:
    make_units(_plan(folder), stage, units)


def make_units(plan: Plan, name: str, units: list[str]) -> None:
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
        plan.records.add(recipe.digest, recipe, receipt, MADE)
        path = plan.receipt_path(name, unit)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(receipt.text())


def _make_object(name: str, unit: str, recipe: Recipe, out: Path) -> dict[str, str]:
    if name == "folds":
        return write_folds(recipe["rows"], {}, recipe["settings"], recipe["seed"], out)[1]
    if name == "report":
        out.mkdir()
        (out / "metrics.json").write_text("null")
        return {}
    if name != "register":
        out.write_text(f"{name} {unit}")
        return {}
    facts = {
        image: {"status": "accepted", "reader": "tiff", "digest": digest} for image, digest in recipe["inputs"].items()
    }
    out.write_text(json.dumps(facts))
    return {image: digest_json(fact) for image, fact in facts.items()}


def measure(folder: Path) -> dict[str, Any]:
    """Make the audit as a job does, page and crate and all."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        out = Path(scratch) / "audit"
        found = write_audit(_plan(folder), out)
        seconds = time.perf_counter() - start
        sizes = {path.name: round(path.stat().st_size / 1e6) for path in sorted(out.iterdir()) if path.is_file()}
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "artifacts": found["artifacts"],
        "states": found["states"],
        "seconds": round(seconds, 1),
        "cpu_s": round(sum(used.ru_utime + used.ru_stime for used in usage), 1),
        "megabytes": sizes,
        "peak_gb": [round(used.ru_maxrss / 1e6, 2) for used in usage],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--patients", type=int, default=FULL)
    parser.add_argument("--folder", type=Path, help="where to work; kept")
    parser.add_argument("--measure", action="store_true", help="only measure what is in the folder")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.folder.resolve())))
        return 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "everything-made").exists():
            make_project(folder, options.patients)
            make_everything(folder)
            (folder / "everything-made").touch()
        # In a process of its own, so that the memory is that of the audit.
        command = [sys.executable, __file__, "--measure", "--folder", str(folder)]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    found["seconds_of_limit"] = round(found["seconds"] / MOST_SECONDS, 3)
    print(json.dumps(found, indent=2))
    return int(found["seconds_of_limit"] > 1 or set(found["states"]) != {"current"})


if __name__ == "__main__":
    sys.exit(main())
