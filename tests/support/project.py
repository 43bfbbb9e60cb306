"""A checkout with the tiny cohort, in which tests run Snakemake."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from support.linked_copies import copy_project
from support.snakemake_calls import calls

ROOT = Path(__file__).resolve().parents[2]
IGNORED = shutil.ignore_patterns("*.egg-info", "parity", "tests")
PARTS = ("workflow", "scripts", "config", "resources", "slurm", "pyproject.toml")


@dataclass
class Run:
    """The result of one command."""

    code: int
    output: str
    computed: list[str] = field(default_factory=list)

    @property
    def idle(self) -> bool:
        return "Nothing to be done" in self.output


def generate_tiny(folder: Path) -> None:
    """Generate the raw files of the tiny cohort; of those that the checkout has, only what an edit has outdated."""
    if (ROOT / "demo/tiny").is_dir():
        shutil.copytree(ROOT / "demo/tiny", folder)
    generate = [sys.executable, ROOT / "resources/demo/generate.py", "tiny", "--out", folder]
    subprocess.run(generate, check=True)


class Project:
    """A checkout in which commands are run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = "config/tiny.yaml"

    @classmethod
    def check_out(cls, path: Path, images: Path | None = None) -> Self:
        """Copy the files that a run needs to a new folder, and copy or generate the tiny cohort there."""
        path.mkdir(parents=True)
        for part in PARTS:
            source = ROOT / part
            if source.is_symlink():
                (path / part).symlink_to(source.readlink())
            elif source.is_dir():
                shutil.copytree(source, path / part, ignore=IGNORED)
            else:
                shutil.copy(source, path / part)
        if images:
            shutil.copytree(images, path / "demo/tiny")
        else:
            generate_tiny(path / "demo/tiny")
        return cls(path)

    def copy_to(self, path: Path) -> Self:
        """Copy the project; objects of the store are hard links (support/linked_copies.py)."""
        copy_project(self.path, path)
        return type(self)(path)

    def run(self, *targets: str, cores: int = 2, config: tuple[str, ...] = (), options: tuple[str, ...] = ()) -> Run:
        """Run Snakemake, and list the units that it computed according to records."""
        before = self.runs()
        options = (*(["--config", *config] if config else []), "--cores", str(cores), *options)
        code, output = self.snakemake(*options, "--", *(targets or ("all",)))
        after = self.runs()
        return Run(code, output, sorted(after[key] for key in after.keys() - before.keys()))

    def snakemake(self, *arguments: str, killed_after: float | None = None) -> tuple[int, str]:
        """Run Snakemake with the configuration, killed after some seconds; return its exit status and its output."""
        environment = {**os.environ, "PYTHONPATH": "", "NEPHROSCALE_CHECK_INPUTS": "1"}
        arguments = ("--configfile", self.config, *arguments)
        with tempfile.NamedTemporaryFile(suffix=".log") as log:
            streams = (log.name, log.name)
            code = calls().run([*arguments], str(self.path), streams, environment, killed_after=killed_after)
            return code, Path(log.name).read_text(encoding="utf-8")

    def nephroscale(self, *arguments: str) -> tuple[int, str]:
        """Run the command `nephroscale`; return its exit status and its output."""
        scripts = str(self.path / "scripts")
        environment = {**os.environ, "PYTHONPATH": scripts, "NEPHROSCALE_CHECK_INPUTS": "1"}
        command = [*arguments, "--configfile", self.config]
        with tempfile.TemporaryDirectory() as folder:
            streams = (f"{folder}/stdout", f"{folder}/stderr")
            code = calls().run(command, str(self.path), streams, environment, module="nephroscale", path=scripts)
            return code, "".join(Path(stream).read_text(encoding="utf-8") for stream in streams)

    def runs(self) -> dict[str, str]:
        """List every recorded run, except those of the audit: file of the record to `stage/unit`."""
        found = {}
        for path in [*self.path.glob("store/records/*/*.json"), *self.path.glob("store/repeats/*.json")]:
            record = json.loads(path.read_text())
            key = f"{path.parent.name}/{path.name}/{record['made']['started']}/{record['receipt']['digest']}"
            if record["receipt"]["stage"] != "audit":
                found[key] = f"{record['receipt']['stage']}/{record['receipt']['unit']}"
        return found

    def receipt(self, name: str) -> dict:
        return json.loads((self.path / "results/tiny" / f"{name}.json").read_text())

    def receipts(self) -> dict[str, str]:
        """Read every receipt: path to text, without that of the audit, whose object contains times and machines."""
        top = self.path / "results/tiny"
        found = {}
        for path in top.rglob("*.json"):
            current = not {"logs", "reports", ".outdated"} & set(path.relative_to(top).parts)
            if not path.is_symlink() and current and path != top / "audit.json":
                found[path.relative_to(top).as_posix()] = path.read_text()
        return found

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.path / name
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{old!r} is not in {name}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
