"""A study whose artifacts are made up, as the benchmarks make it up."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from nephroscale.engine.plan import Plan
from support import synthetic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
IMAGES = (("OM", "PASM", ""), ("IM", "", "IgG"), ("TEM", "", ""), ("TEM", "", ""), ("TEM", "", ""))


class Study:
    """A folder with tables, raw files, and an object, a receipt and a record for every unit of nine patients."""

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
        """With two folds and one seed where models are given, else as the demo's configuration has it."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(Path.cwd())  # so that the folder it goes to is left again
            synthetic.make_project(folder, 9, images)
            config = yaml.safe_load((folder / "config.yaml").read_text())
            if models:
                config |= {"models": models, "folds": {"count": 2}}
                config["train"]["seeds"] = [1]
            (folder / "config.yaml").write_text(yaml.safe_dump(config))
            synthetic.make_everything(folder, files or {})
        return cls(folder)

    def copy_to(self, folder: Path) -> Study:
        shutil.copytree(self.folder, folder, symlinks=True)
        return Study(folder)

    def plan(self) -> Plan:
        """As the next process sees it, in the study's folder."""
        return Plan(yaml.safe_load((self.folder / "config.yaml").read_text()), scripts=ROOT / "scripts")
