"""A study whose artifacts are made up, as the benchmarks make it up."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest
import yaml

from nephroscale.stages.plan import Plan

ROOT = Path(__file__).resolve().parents[2]
IMAGES = (("OM", "PASM", ""), ("IM", "", "IgG"), ("TEM", "", ""), ("TEM", "", ""), ("TEM", "", ""))


class Study:
    """A folder with tables, raw files, and an object, a receipt and a record for every unit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def make(cls, folder: Path, patients: int, models: dict) -> Study:
        spec = importlib.util.spec_from_file_location("synthetic", ROOT / "benchmarks/synthetic.py")
        synthetic = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(synthetic)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(Path.cwd())  # so that the folder it goes to is left again
            synthetic.make_project(folder, patients, IMAGES)
            config = yaml.safe_load((folder / "config.yaml").read_text()) | {"models": models, "folds": {"count": 2}}
            config["train"]["seeds"] = [1]
            (folder / "config.yaml").write_text(yaml.safe_dump(config))
            synthetic.make_everything(folder, {"tiles": 14, "bags": 11})
        return cls(folder)

    def copy_to(self, folder: Path) -> Study:
        shutil.copytree(self.folder, folder, symlinks=True)
        return Study(folder)

    def plan(self) -> Plan:
        """As the next process sees it, in the study's folder."""
        return Plan(yaml.safe_load((self.folder / "config.yaml").read_text()), scripts=ROOT / "scripts")
