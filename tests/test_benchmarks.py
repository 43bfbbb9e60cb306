"""Every benchmark runs to its end in its small form; what it measures is not looked at."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.project import Project

ROOT = Path(__file__).resolve().parents[1]
NAMES = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py") if path.stem != "run_all")


@pytest.fixture(scope="module")
def finished(tiny_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with the benchmarks in which the tiny cohort was run to its report."""
    project = Project.check_out(tmp_path_factory.mktemp("benchmarks") / "checkout", tiny_images)
    ignored = shutil.ignore_patterns("__pycache__")
    for part in ("benchmarks", "tests", "resources/parity", "slurm"):
        shutil.copytree(ROOT / part, project.path / part, ignore=ignored, dirs_exist_ok=True)
    run = project.run()
    assert run.code == 0, run.output
    return project.path


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_to_its_end(name: str, finished: Path) -> None:
    if (ROOT.parent / "shared").is_dir() and not (finished.parent / "shared").exists():
        (finished.parent / "shared").symlink_to(ROOT.parent / "shared")
    environment = {**os.environ, "PYTHONPATH": str(finished / "scripts")}
    command = [sys.executable, "benchmarks/run_all.py", "--small", name]
    done = subprocess.run(
        command, cwd=finished, env=environment, check=False, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"== {name}" in done.stdout
