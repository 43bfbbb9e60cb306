"""Running Snakemake for real: the tiny cohort, run once, copied for each test."""

from __future__ import annotations

import pytest

from support.project import Project


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Project:
    """The tiny cohort, run to its report."""
    project = Project.check_out(tmp_path_factory.mktemp("made") / "project")
    run = project.run()
    assert run.code == 0, run.output
    return project


@pytest.fixture
def project(made, tmp_path) -> Project:
    """A copy of the finished project, to be changed."""
    return made.copy_to(tmp_path / "project")
