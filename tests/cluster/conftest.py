"""A Slurm for the session, and on it the tiny cohort, run once by the exact command and copied for each test."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.cluster_project import PROFILE, ClusterProject
from support.slurm import Cluster, FinishedJob, missing_programs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.project import Run


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A Slurm of three nodes; the tests are skipped where it is not installed."""
    if missing := missing_programs():
        pytest.skip(f"Slurm is not installed here, {', '.join(missing)} not found: apt-get install slurm-wlm munge")
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        cluster = Cluster(Path(folder) / "s")
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture(scope="session")
def first_run(cluster, tmp_path_factory) -> tuple[ClusterProject, Run, list[FinishedJob]]:
    """The tiny cohort, run to its report by `snakemake --profile slurm all`; and the jobs of Slurm that ended in it."""
    project = ClusterProject.check_out(tmp_path_factory.mktemp("cluster") / "project")
    project.cluster = cluster
    (project.path / "config/tiny.yaml").replace(project.path / "config/config.yaml")
    project.edit(PROFILE, "checks: 10", "checks: 2")
    before = len(cluster.finished())
    run = project.slurm("all")
    assert run.code == 0, run.output
    cluster.wait_until(lambda: not cluster.jobs(), 60, "the queue is empty")
    return project, run, cluster.finished()[before:]


@pytest.fixture(scope="session")
def made(first_run) -> ClusterProject:
    """The finished project, to be read."""
    return first_run[0]


@pytest.fixture
def project(made, cluster, tmp_path) -> Iterator[ClusterProject]:
    """A copy of the finished project, to be changed; no job of it outlives the test."""
    project = made.copy_to(tmp_path / "project")
    project.cluster = cluster
    yield project
    for job in cluster.jobs():
        cluster.command("scancel", job["id"])
    cluster.wait_until(lambda: not cluster.jobs(), 60, "the queue is empty")
