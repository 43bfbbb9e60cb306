"""Running Snakemake for real: a checkout of its own with the tiny cohort, run once, copied for each test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("workflow", "scripts", "config", "resources", "slurm", "pyproject.toml")


@dataclass
class Run:
    """What one command did."""

    code: int
    output: str
    computed: list[str] = field(default_factory=list)

    @property
    def idle(self) -> bool:
        return "Nothing to be done" in self.output


class Project:
    """A checkout in which commands are run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = "config/tiny.yaml"

    def copy_to(self, path: Path) -> Project:
        subprocess.run(["cp", "-a", str(self.path), str(path)], check=True)
        return Project(path)

    def run(self, *targets: str, cores: int = 2, config: tuple[str, ...] = (), options: tuple[str, ...] = ()) -> Run:
        """Run Snakemake, and list the units that computed, as records tell."""
        before = self.runs()
        command = [sys.executable, "-m", "snakemake", "--configfile", self.config]
        command += [*(["--config", *config] if config else []), "--cores", str(cores), *options]
        command += ["--", *(targets or ("all",))]
        done = subprocess.run(
            command,
            cwd=self.path,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=400,
            check=False,
            env={**os.environ, "PYTHONPATH": ""},
        )
        after = self.runs()
        return Run(done.returncode, done.stdout, sorted(after[key] for key in after.keys() - before.keys()))

    def runs(self) -> dict[str, str]:
        """Every run that a record tells of: its file, and `stage/unit`."""
        found = {}
        for path in [*self.path.glob("store/records/*/*.json"), *self.path.glob("store/repeats/*.json")]:
            record = json.loads(path.read_text())
            key = f"{path.parent.name}/{path.name}/{record['made']['started']}/{record['receipt']['digest']}"
            found[key] = f"{record['receipt']['stage']}/{record['receipt']['unit']}"
        return found

    def receipt(self, name: str) -> dict:
        return json.loads((self.path / "results/tiny" / f"{name}.json").read_text())

    def receipts(self) -> dict[str, str]:
        """Every receipt by its path, as text."""
        top = self.path / "results/tiny"
        found = {}
        for path in top.rglob("*.json"):
            if not path.is_symlink() and "logs" not in path.parts:
                found[path.relative_to(top).as_posix()] = path.read_text()
        return found

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.path / name
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{old!r} is not in {name}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Project:
    """The tiny cohort, run to its report."""
    path = tmp_path_factory.mktemp("made") / "project"
    path.mkdir()
    for part in PARTS:
        source = ROOT / part
        if source.is_symlink():
            (path / part).symlink_to(source.readlink())
        elif source.is_dir():
            shutil.copytree(source, path / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, path / part)
    draw = [sys.executable, "resources/demo/generate.py", "tiny", "--out", "demo/tiny"]
    subprocess.run(draw, cwd=path, check=True, env={**os.environ, "PYTHONPATH": str(path / "scripts")})
    project = Project(path)
    run = project.run()
    assert run.code == 0, run.output
    return project


@pytest.fixture
def project(made, tmp_path) -> Project:
    """A copy of the finished project, to be changed."""
    return made.copy_to(tmp_path / "project")
