"""The wheel holds the whole workflow: installed elsewhere, it runs from a folder without a checkout."""

import json
import shutil
from pathlib import Path

import pytest

import nephroscale
from support.installation import ROOT, Installation

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(tiny_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny cohort's configuration, tables and images, and nothing else."""
    folder = tmp_path_factory.mktemp("study")
    shutil.copytree(ROOT / "config/tiny", folder / "config/tiny")
    shutil.copy(ROOT / "config/tiny.yaml", folder / "config/tiny.yaml")
    shutil.copytree(tiny_images, folder / "demo/tiny")
    return folder


def test_imports_come_from_the_wheel(installation: Installation, tmp_path: Path) -> None:
    program = (
        "import nephroscale, snakemake_logger_plugin_nephroscale as plugin, snakemake, importlib.metadata as m;"
        "print(nephroscale.__file__, plugin.__file__, nephroscale.__version__, m.version('nephroscale'), sep='\\n')"
    )
    done = installation.run(installation.python, "-c", program, folder=tmp_path)
    package, plugin, own_version, installed_version = done.stdout.split("\n")[:4]
    assert Path(package) == installation.site_packages / "nephroscale/__init__.py", done.stdout
    assert Path(plugin).is_relative_to(installation.site_packages)
    assert own_version == installed_version == nephroscale.__version__


def test_wheel_has_every_file_of_the_workflow_and_every_script(installation: Installation) -> None:
    package = installation.site_packages / "nephroscale"
    workflow = {path.relative_to(ROOT) for path in (ROOT / "workflow").rglob("*") if path.is_file()}
    scripts = {path.relative_to(ROOT) for path in (ROOT / "scripts").glob("*.py")}
    expected = {path for path in workflow | scripts if not {"__pycache__", ".snakemake"} & set(path.parts)}
    present = {
        path.relative_to(package)
        for name in ("workflow", "scripts")
        for path in (package / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert present == expected
    sources = ROOT / "scripts/nephroscale"
    data = {path.relative_to(sources) for path in sources.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert {path for path in data if not (package / path).is_file()} == set()


def test_installed_workflow_runs_from_another_folder(installation: Installation, study: Path) -> None:
    command = ("snakemake", "-s", installation.snakefile, "--configfile", "config/tiny.yaml", "--cores", "2")
    first = installation.run(*command, "all", folder=study)
    assert first.returncode == 0, first.stdout
    metrics = json.loads((study / "results/tiny/report/metrics.json").read_text())
    assert set(metrics["models"]) == {"cmusnet", "tem-only"}
    assert (study / "results/tiny/audit/index.html").is_file()
    second = installation.run(*command, "all", folder=study)
    assert second.returncode == 0, second.stdout
    assert "Nothing to be done" in second.stdout


def test_installed_command_works_from_another_folder(installation: Installation, study: Path) -> None:
    done = installation.run("nephroscale", "status", "--configfile", "config/tiny.yaml", folder=study)
    assert done.returncode == 0, done.stdout
