"""The tiny cohort, generated and run once for all pytest workers, and copied for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.once import make_once
from support.project import Project

if TYPE_CHECKING:
    from pathlib import Path


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


@pytest.fixture
def project(made, tmp_path) -> Project:
    """A copy of the finished project, to be changed."""
    return made.copy_to(tmp_path / "project")
