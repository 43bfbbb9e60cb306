"""Fixtures of all tests."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import hypothesis
import pytest

from support.installation import Installation
from support.real_images import require_real_images

ROOT = Path(__file__).resolve().parents[1]
hypothesis.settings.register_profile("busy", deadline=None)  # a busy machine is no fault
hypothesis.settings.load_profile("busy")
os.environ["NEPHROSCALE_CHECK_INPUTS"] = "1"  # a job that opens an input which its stage does not declare fails


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder ../shared with real images; without it, tests are skipped, and fail in continuous integration."""
    return require_real_images(ROOT)


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The package, installed from its wheel into an environment of its own."""
    return Installation.make(tmp_path_factory.mktemp("installation"))


@pytest.fixture
def mount_small(tmp_path):
    """A function that gives a file system of so many megabytes; the test is skipped where none can be mounted."""
    mounted = []

    def mount(megabytes: int) -> Path:
        folder = tmp_path / "small"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
        able = not os.geteuid() and shutil.which("mount")
        if not able or subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("a small file system cannot be mounted here")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


class CrateTools:
    """The validator and the reader of crates, in their own environment, without network."""

    def __init__(self, environment: Path, cache: Path) -> None:
        self._bin = environment / "bin"
        self._cache = cache
        here = ROOT / "tests/provenance"
        context = here / "data/ro-crate-1.1-context.json"
        subprocess.run([self._bin / "python", here / "fill_cache.py", cache, context], check=True, capture_output=True)

    def faults(self, crate: Path) -> list[str]:
        """What the Provenance Run Crate profile 0.5 requires and the crate does not fulfil."""
        command = [self._bin / "rocrate-validator", "validate", "--offline", "--cache-path", self._cache]
        command += ["--profile-identifier", "provenance-run-crate-0.5", "--requirement-severity", "REQUIRED"]
        command += ["--no-paging", "--verbose", "--output-format", "json", crate]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        told = json.loads(done.stdout[done.stdout.index("{") :]) if "{" in done.stdout else {}
        assert told.get("meta"), done.stdout + done.stderr
        assert told["passed"] == (done.returncode == 0) == (not told["issues"])
        return [issue["message"] for issue in told["issues"]]

    def report(self, crate: Path) -> str:
        """What runcrate tells of the crate's actions."""
        return subprocess.run(
            [self._bin / "runcrate", "report", crate], check=True, capture_output=True, text=True
        ).stdout


@pytest.fixture(scope="session")
def crate_tools(tmp_path_factory) -> CrateTools:
    """What validates and reads a crate; the test is skipped where it is not installed."""
    environment = ROOT / ".venv-crate"
    if not (environment / "bin/rocrate-validator").is_file():
        pytest.skip("the validator of crates is not installed: make .venv-crate/.ready")
    return CrateTools(environment, tmp_path_factory.mktemp("crate") / "cache")
