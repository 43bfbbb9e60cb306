"""A made-up study in which everything is made, without computing: for benchmarks of what grows with a cohort.

Tables, raw files, objects, receipts and records are as many and of the same form as those of a real run, written by the
package's own functions; what the objects hold means nothing.
"""

from __future__ import annotations

import csv
import json
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from nephroscale.cohort.eligible import write_folds
from nephroscale.engine.plan import Plan, Recipe
from nephroscale.store.digest import digest_json
from nephroscale.store.receipts import Receipt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ("IgAN", "MN", "LN")
MADE = {"started": "2026-01-01T00:00:00Z", "seconds": 1.0, "node": "bench", "device": "cpu", "peak_mb": 1, "git": None}


def make_project(folder: Path, patients: int, images: Sequence[tuple[str, str, str]]) -> None:
    """Write the configuration, the tables, and one small raw file for every image.

    Parameters
    ----------
    folder
        Where to.
    patients
        Their number.
    images
        Modality, stain and marker of each image that every patient has.
    """
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    config["data"] = {"root": "raw", "patients": "patients.csv", "images": "images.csv"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    people, rows = [], []
    for number in range(patients):
        patient = f"P{number:06d}"
        people.append([patient, CLASSES[number % 3], "north" if number % 2 else "south"])
        below = folder / "raw" / f"{number // 1000:03d}"
        below.mkdir(parents=True, exist_ok=True)
        for place, (modality, stain, marker) in enumerate(images):
            image = f"{patient}-{modality}{place}"
            (below / f"{image}.tif").write_bytes(image.encode())
            nm_per_px = "8" if modality == "TEM" else ""
            rows.append([image, patient, modality, stain, marker, f"{below.name}/{image}.tif", nm_per_px])
    _write_table(folder / "patients.csv", ["patient_id", "diagnosis", "site"], people)
    header = ["image_id", "patient_id", "modality", "stain", "marker", "path", "nm_per_px"]
    _write_table(folder / "images.csv", header, rows)


def _write_table(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])


def open_plan(folder: Path) -> Plan:
    """Open the plan of a study that :func:`make_project` wrote; the process stays in its folder."""
    os.chdir(folder)
    return Plan(yaml.safe_load((folder / "config.yaml").read_text()), scripts=ROOT / "scripts")


def make_everything(folder: Path, files: Mapping[str, int]) -> None:
    """Put an object, a receipt and a record there for every unit of every stage.

    Parameters
    ----------
    folder
        What :func:`make_project` wrote.
    files
        Files in each object of a stage; a stage that is not named has objects of one file.
    """
    plan = open_plan(folder)
    for name in plan.stages:
        units = plan.units(name)
        if len(units) < 1000:
            _make_units(plan, name, units, files.get(name, 0))
            continue
        with ProcessPoolExecutor(2) as pool:
            pieces = [pool.submit(_make_piece, folder, name, units[k::8], files.get(name, 0)) for k in range(8)]
            for piece in pieces:
                piece.result()


def _make_piece(folder: Path, name: str, units: list[str], files: int) -> None:
    _make_units(open_plan(folder), name, units, files)


def _make_units(plan: Plan, name: str, units: list[str], files: int) -> None:
    stage = plan.stages[name]
    for unit in units:
        for image in stage.raw(plan, unit) if name == "register" else []:
            plan.raw_cache.digest(image.path)
        recipe = plan.examine(stage, unit)
        assert isinstance(recipe, Recipe), f"{name} of {unit} cannot be known"
        with plan.store.scratch() as scratch:
            parts = _make_object(name, unit, recipe, files, scratch / "out")
            published = plan.store.publish(scratch / "out")
        receipt = Receipt(name, unit, "accepted", **published._asdict(), figures={"n": 1}, parts=parts)
        plan.records.add(recipe.digest, recipe, receipt, MADE)
        path = plan.receipt_path(name, unit)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(receipt.text())


def _make_object(name: str, unit: str, recipe: Recipe, files: int, out: Path) -> dict[str, str]:
    if name == "folds":
        return write_folds(recipe["rows"], {}, recipe["settings"], recipe["seed"], out)[1]
    if name == "register":
        digests = recipe["inputs"]
        facts = {image: {"status": "accepted", "reader": "tiff", "digest": digests[image]} for image in digests}
        out.write_text(json.dumps(facts))
        return {image: digest_json(fact) for image, fact in facts.items()}
    if name == "report":
        out.mkdir()
        (out / "metrics.json").write_text("null")
    elif not files:
        out.write_text(f"{name} {unit}")
    for number in range(files):
        file = out / str(number % 4) / "c" / f"{number}.bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{name} {unit} {number}")
    return {}
