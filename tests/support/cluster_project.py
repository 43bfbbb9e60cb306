"""A checkout of the tiny cohort in which `snakemake --profile slurm` is run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING

from support.project import Project, Run

if TYPE_CHECKING:
    from support.slurm import Cluster

PROFILE = "workflow/profiles/slurm/config.yaml"
# Replaces the first line of a stage's work: it marks that the job is running, and waits while a file exists.
HOLD = """
    import pathlib, time
    pathlib.Path("running").touch()
    while pathlib.Path("hold").exists():
        time.sleep(0.2)
"""


class Started:
    """A command that is running."""

    def __init__(self, project: ClusterProject, targets: tuple[str, ...]) -> None:
        self.project, self.before = project, project.runs()
        self.screen = (project.path / "screen").open("w+")
        # Nothing but the profile: the configuration is the tiny one's, at its usual place.
        command = [sys.executable, "-m", "snakemake", "--profile", "slurm", *targets]
        environment = {**project.cluster.environment, "PYTHONPATH": ""}
        self.process = subprocess.Popen(
            command, cwd=project.path, stdout=self.screen, stderr=subprocess.STDOUT, env=environment
        )

    def finish(self, seconds: float = 1200) -> Run:
        """Wait for its end; return its exit status, its output, and the units that it computed according to records."""
        try:
            code = self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            code = -1
        after = self.project.runs()
        computed = sorted(after[key] for key in after.keys() - self.before.keys())
        return Run(code, Path(self.screen.name).read_text(), computed)

    def kill(self) -> None:
        """Kill it, as a power cut of the login node would."""
        self.process.kill()
        self.process.wait()


class ClusterProject(Project):
    """A checkout in which `snakemake --profile slurm` is run; its `config/config.yaml` is the tiny cohort's."""

    cluster: Cluster

    def begin(self, *targets: str) -> Started:
        return Started(self, targets)

    def slurm(self, *targets: str) -> Run:
        """Run `snakemake --profile slurm TARGETS` to its end."""
        return self.begin(*targets).finish()

    def status(self) -> str:
        """The output of `nephroscale status`."""
        command = [sys.executable, "-m", "nephroscale", "status"]
        environment = {**os.environ, "PYTHONPATH": str(self.path / "scripts")}
        done = subprocess.run(command, cwd=self.path, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    def made(self, stage: str) -> list[dict]:
        """How each artifact of a stage was made, according to its record."""
        records = (json.loads(path.read_text()) for path in self.path.glob("store/records/*/*.json"))
        return [record["made"] for record in records if record["receipt"]["stage"] == stage]

    def insert(self, stage: str, code: str) -> None:
        """Insert code where a stage begins to make its artifact."""
        path = self.path / "scripts/nephroscale/stages" / f"{stage}.py"
        text = path.read_text()
        mark = re.search(r"    def make\(self, job: Job\[[^\]]+\]\) -> .*:\n", text)
        assert mark, f"{path} has no make"
        path.write_text(text[: mark.end()] + indent(code, "    ") + text[mark.end() :])

    def hold(self) -> Path:
        """Let jobs with HOLD in their stage wait; they go on when the file is deleted."""
        (self.path / "running").unlink(missing_ok=True)
        path = self.path / "hold"
        path.touch()
        return path

    def wait_until_running(self) -> dict[str, str]:
        """Wait until a held job is in its stage; give its line of the queue."""
        self.cluster.wait_until((self.path / "running").exists, 300, "the job is in its stage")
        (job,) = [job for job in self.cluster.jobs("RUNNING") if job["comment"].startswith("rule_")]
        return job
