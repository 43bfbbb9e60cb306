"""A mock study: tables, raw files, objects, receipts and records of every unit, written without computing.

They have the number and the form of a real run's, and the package's own functions write them. The content of the
objects is meaningless. Tests use the class `Study`, benchmarks of large cohorts the functions.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from PIL import Image as Picture

from nephroscale.cohort.eligibility import write_folds
from nephroscale.engine.plan import Plan
from nephroscale.stages.patients import listed_patients
from nephroscale.stages.registry import stage_table
from nephroscale.store.digest import digest_json
from nephroscale.store.receipts import Receipt
from nephroscale.store.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ("IgAN", "MN", "LN")
IMAGES = (("OM", "PASM", ""), ("IM", "", "IgG"), ("TEM", "", ""), ("TEM", "", ""), ("TEM", "", ""))
MADE = {"started": "2026-01-01T00:00:00Z", "seconds": 1.0, "node": "bench", "device": "cpu", "peak_mb": 1, "git": None}


def make_project(folder: Path, patients: int, images: Sequence[tuple[str, str, str]]) -> None:
    """Write the configuration, the tables, and one small raw file for every image.

    Parameters
    ----------
    folder
        Folder of the study.
    patients
        Number of patients.
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
            Picture.new("L" if modality == "TEM" else "RGB", (256, 256)).save(below / f"{image}.png")
            with (below / f"{image}.png").open("ab") as stream:
                stream.write(image.encode())  # so that no two files are equal
            scale = ["8", ""] if modality == "TEM" else ["", "0.25"]
            rows.append([image, patient, modality, stain, marker, f"{below.name}/{image}.png", *scale])
    _write_table(folder / "patients.csv", ["patient_id", "diagnosis", "site"], people)
    header = ["image_id", "patient_id", "modality", "stain", "marker", "path", "nm_per_px", "mpp"]
    _write_table(folder / "images.csv", header, rows)


def _write_table(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])


def open_plan(folder: Path) -> Plan:
    """Open the plan of a study written by :func:`make_project`; the process changes to its folder and stays there."""
    os.chdir(folder)
    return Plan(yaml.safe_load((folder / "config.yaml").read_text()), stage_table(), scripts=ROOT / "scripts")


def make_everything(folder: Path, files: Mapping[str, int]) -> None:
    """Write an object, a receipt and a record for every unit of every stage.

    Parameters
    ----------
    folder
        Folder of the study, written by :func:`make_project`.
    files
        Number of files in each object of a stage; an object of any other stage is one file.
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


def make_new_patients(plan: Plan) -> None:
    """Write an object, a receipt and a record for every unit of a plan's new patients."""
    for name, stage in plan.stages.items():
        _make_units(plan, name, stage.new_units(plan), 0)


def _make_piece(folder: Path, name: str, units: list[str], files: int) -> None:
    _make_units(open_plan(folder), name, units, files)


def _make_units(plan: Plan, name: str, units: list[str], files: int) -> None:
    stage = plan.stages[name]
    for unit in units:
        for image in stage.raw(plan, unit) if name == "register" else []:
            plan.raw_cache.digest(image.path)
        recipe = plan.examine(stage, unit)
        assert isinstance(recipe, Recipe), f"{name} of {unit} has no recipe"
        with plan.store.scratch() as scratch:
            parts = _make_object(plan, (name, unit), recipe, files, scratch / "out")
            published = plan.store.publish(scratch / "out")
        receipt = Receipt(name, unit, "accepted", **published._asdict(), figures={"n": 1}, parts=parts)
        plan.records.add(recipe, receipt, MADE)
        path = plan.receipt_path(name, unit)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(receipt.text())


def _make_object(plan: Plan, key: tuple[str, str], recipe: Recipe, files: int, out: Path) -> dict[str, str]:
    name, unit = key
    if name == "folds":
        rows = [patient.row() for patient in listed_patients(plan)]
        settings = plan.stages[name].settings(plan, unit)
        return write_folds(rows, {}, settings, plan.config.seed, out)[1]
    if name == "register":
        digests = recipe.inputs
        facts = {image: {"status": "accepted", "reader": "tiff", "digest": digests[image]} for image in digests}
        out.write_text(json.dumps(facts))
        return {image: digest_json(fact) for image, fact in facts.items()}
    if pages := plan.stages[name].pages:
        out.mkdir()
        for _, page in pages:
            (out / page).write_text("null")
    if name == "report":
        (out / "metrics.json").write_text("null")
    elif not files and not pages:
        out.write_text(f"{name} {unit}")
    for number in range(files):
        file = out / str(number % 4) / "c" / f"{number}.bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{name} {unit} {number}")
    return {}


class Study:
    """A mock study of nine patients in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def make(
        cls,
        folder: Path,
        *,
        models: Mapping | None = None,
        images: Sequence[tuple[str, str, str]] = IMAGES,
        files: Mapping[str, int] | None = None,
    ) -> Study:
        """Write the study; with `models`, it has two folds and one seed instead of the demo's."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(Path.cwd())  # restores the working directory
            make_project(folder, 9, images)
            config = yaml.safe_load((folder / "config.yaml").read_text())
            if models:
                config |= {"models": models, "folds": {"n_folds": 2}}
                config["train"]["seeds"] = [1]
            (folder / "config.yaml").write_text(yaml.safe_dump(config))
            make_everything(folder, files or {})
        return cls(folder)

    def copy_to(self, folder: Path) -> Study:
        shutil.copytree(self.folder, folder, symlinks=True)
        return Study(folder)

    def plan(self) -> Plan:
        """Open the plan as a new process in the study's folder would."""
        return Plan(yaml.safe_load((self.folder / "config.yaml").read_text()), stage_table(), scripts=ROOT / "scripts")
