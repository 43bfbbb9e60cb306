"""The tiny cohort, generated and run once for all pytest workers, and copied for each test."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import pytest

from support.once import make_once
from support.project import Project, Run


@pytest.fixture(scope="session")
def checked_out(tiny_images, folder_of_all) -> Project:
    """The tiny cohort before any run. Copy it before changing it."""
    return Project(make_once(folder_of_all / "checked_out", lambda path: Project.check_out(path, tiny_images)))


@pytest.fixture(scope="session")
def made(checked_out, folder_of_all) -> Project:
    """The tiny cohort, run to its report. Copy it before changing it."""

    def run_all(path: Path) -> None:
        run = checked_out.copy_to(path).run()
        assert run.code == 0, run.output

    return Project(make_once(folder_of_all / "made", run_all))


class Predicted(NamedTuple):
    """The finished project after the first prediction of new patients, and that run."""

    project: Project
    run: Run


#: The configuration of new patients.
NEW = "predict={patients: config/new/patients.csv, images: config/new/images.csv, root: demo/new}"


@pytest.fixture(scope="session")
def new_patients() -> str:
    """The configuration with which `predicted` was run."""
    return NEW


@pytest.fixture(scope="session")
def predicted(made, folder_of_all) -> Predicted:
    """The finished project with predictions of new patients. Copy it before changing it."""
    kept = folder_of_all / "predicted.json"

    def predict(path: Path) -> None:
        project = made.copy_to(path)
        generate = [sys.executable, "resources/demo/generate.py", "new", "--out", "demo/new"]
        subprocess.run(generate, cwd=path, check=True)
        kept.write_text(json.dumps(asdict(project.run("predict", config=(NEW,)))))

    project = Project(make_once(folder_of_all / "predicted", predict))
    return Predicted(project, Run(**json.loads(kept.read_text())))


@pytest.fixture
def project(made, tmp_path) -> Project:
    """A copy of the finished project, to be changed."""
    return made.copy_to(tmp_path / "project")
