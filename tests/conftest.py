"""Fixtures of all tests."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
from pathlib import Path

import hypothesis
import pytest

from nephroscale.engine.environment import set_numerical_environment

set_numerical_environment({})  # as in a job, before anything imports what reads it
gc.disable()  # what is imported stays; enabled when all tests are collected

from support.installation import Installation  # noqa: E402
from support.marked_modules import selects_nothing  # noqa: E402
from support.once import make_once  # noqa: E402
from support.project import generate_tiny  # noqa: E402
from support.real_images import require_real_images  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
hypothesis.settings.register_profile("busy", deadline=None)  # a busy machine exceeds any deadline
hypothesis.settings.load_profile("busy")
os.environ["NEPHROSCALE_CHECK_INPUTS"] = "1"  # a job that opens an input which its stage does not declare fails


#: Tests that come first. A worker starts at the front, and another takes over from the end: modules whose fixture takes
#: half a minute stay with one worker, and whoever is last is left with a short test.
FIRST = (
    "engine/test_recipes.py",
    "commands/test_package.py",
    *(f"workflow/test_{name}.py" for name in ("deposits", "privacy", "nothing_lost", "missing")),
    "workflow",
)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import a module of which no test is selected."""
    expression = config.option.markexpr
    if not expression or collection_path.suffix != ".py":
        return None
    return selects_nothing(expression, collection_path.read_text(encoding="utf-8")) or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put some tests first; all others keep their order."""
    folder = f"{ROOT / 'tests'}{os.sep}"
    places: dict[Path, int] = {}
    for path in {item.path for item in items}:
        name = str(path).removeprefix(folder)
        places[path] = next((k for k, first in enumerate(FIRST) if name == first or name.startswith(f"{first}/")), 99)
    items.sort(key=lambda item: places[item.path])


def pytest_collection_finish() -> None:
    """Keep what has been imported out of every later search for garbage, and search again."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder ../shared with real images; without it, tests are skipped, and fail in continuous integration."""
    return require_real_images(ROOT)


@pytest.fixture(scope="session")
def folder_of_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this test run see."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def tiny_images(folder_of_all: Path) -> Path:
    """The raw files of the tiny cohort, generated once for all workers. Copy them before changing them."""
    return make_once(folder_of_all / "tiny_images", generate_tiny)


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The package, installed from its wheel into an environment of its own."""
    return Installation.make(tmp_path_factory.mktemp("installation"))


@pytest.fixture
def mount_small(tmp_path):
    """A function that mounts a file system of some megabytes; the test is skipped if none can be mounted."""
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
        """List the requirements of the Provenance Run Crate profile 0.5 that the crate does not meet."""
        command = [self._bin / "rocrate-validator", "validate", "--offline", "--cache-path", self._cache]
        command += ["--profile-identifier", "provenance-run-crate-0.5", "--requirement-severity", "REQUIRED"]
        command += ["--no-paging", "--verbose", "--output-format", "json", crate]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        result = json.loads(done.stdout[done.stdout.index("{") :]) if "{" in done.stdout else {}
        assert result.get("meta"), done.stdout + done.stderr
        assert result["passed"] == (done.returncode == 0) == (not result["issues"])
        return [issue["message"] for issue in result["issues"]]

    def report(self, crate: Path) -> str:
        """Give the report of runcrate on the crate's actions."""
        return subprocess.run(
            [self._bin / "runcrate", "report", crate], check=True, capture_output=True, text=True
        ).stdout


@pytest.fixture(scope="session")
def crate_tools(tmp_path_factory) -> CrateTools:
    """The validator and the reader of crates; the test is skipped if they are not installed."""
    environment = ROOT / ".venv-crate"
    if not (environment / "bin/rocrate-validator").is_file():
        pytest.skip("the validator of crates is not installed: make .venv-crate/.ready")
    return CrateTools(environment, tmp_path_factory.mktemp("crate") / "cache")
