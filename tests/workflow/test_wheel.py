"""The wheel holds the whole workflow: it runs from a folder without a checkout, and gives the same bytes there."""

import shutil
from pathlib import Path

import pytest

import nephroscale
from support.installation import ROOT, Installation
from support.project import Project

pytestmark = [pytest.mark.installed, pytest.mark.workflow]


@pytest.fixture(scope="module")
def study(tiny_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny cohort's configuration, tables and images, and nothing else."""
    folder = tmp_path_factory.mktemp("study") / "a much longer parent" / "projét"
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


def test_installed_workflow_gives_the_bytes_of_the_checkout_in_another_folder_and_order(
    installation: Installation, study: Path, made: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "17")
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    monkeypatch.setenv("LC_ALL", "C")
    command = ("snakemake", "-s", installation.snakefile, "--configfile", "config/tiny.yaml", "--cores", "1")
    # The last patient first, one job after the other. The run of the checkout ran two jobs at a time, forked off one
    # process; without hooks, each job is a process of its own.
    unit = max(path.stem for path in (made.path / "results/tiny/tem").glob("*.json") if not path.is_symlink())
    first = installation.run(*command, "--no-hooks", f"results/tiny/features/{unit}-TEM.json", folder=study)
    assert first.returncode == 0, first.stdout
    other = Project(study)
    assert sorted(other.runs().values()) == [f"features/{unit}-TEM", f"register/{unit}", f"tem/{unit}"]
    second = installation.run(*command, "--scheduler", "greedy", "all", folder=study)
    assert second.returncode == 0, second.stdout
    assert other.receipts() == made.receipts()
    assert (study / "results/tiny/audit/index.html").is_file()
    third = installation.run(*command, "all", folder=study)
    assert third.returncode == 0, third.stdout
    assert "Nothing to be done" in third.stdout


def test_installed_command_works_from_another_folder(installation: Installation, study: Path) -> None:
    done = installation.run("nephroscale", "status", "--configfile", "config/tiny.yaml", folder=study)
    assert done.returncode == 0, done.stdout
