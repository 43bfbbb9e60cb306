"""The tiny cohort, generated and run once for all pytest workers, and copied for each test."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from support.once import make_once
from support.project import Project

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory) -> Path:
    """A folder that all workers of this test run see."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def checked_out(shared_folder) -> Project:
    """The tiny cohort before any run. Copy it before changing it."""
    return Project(make_once(shared_folder / "checked_out", Project.check_out))


@pytest.fixture(scope="session")
def made(checked_out, shared_folder) -> Project:
    """The tiny cohort, run to its report. Copy it before changing it."""

    def run_all(path: Path) -> None:
        run = checked_out.copy_to(path).run()
        assert run.code == 0, run.output

    return Project(make_once(shared_folder / "made", run_all))


@pytest.fixture
def project(made, tmp_path) -> Project:
    """A copy of the finished project, to be changed."""
    return made.copy_to(tmp_path / "project")
