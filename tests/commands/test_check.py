"""`nephroscale check` on a small study."""

import pytest
import yaml

from nephroscale.cli import main
from support.small_study import small_config, write_study


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("check") / "study"
    write_study(folder)
    (folder / "study.yaml").write_text(yaml.safe_dump(small_config()))
    return folder


@pytest.fixture
def ask(painted, monkeypatch, capsys):
    """Run the command: its exit status, and what it printed."""
    monkeypatch.chdir(painted)

    def run(*arguments):
        status = main(["check", "--configfile", "study.yaml", *arguments])
        return status, capsys.readouterr().out

    return run


def test_a_right_study(ask, painted):
    before = sorted(painted.rglob("*"))
    status, printed = ask()
    assert status == 0
    assert printed.splitlines() == [
        "8 patients: diagnosis 6, external 1, segmentation 1",
        "22 images: IM 7, OM 8, TEM 7",
        "classes: IgAN 3, MN 3",
        "Nothing wrong was found.",
    ]
    assert sorted(painted.rglob("*")) == before


def test_faults_come_before_warnings_and_name_the_file(ask):
    status, printed = ask("--config", "folds={n_folds: 4}", "--config", "om={mpp: 0.5}")
    assert status == 1
    faults, warnings = printed.index("Faults, which stop a run:"), printed.index("Warnings:")
    assert faults < printed.index("fewer cases than there are folds") < warnings < printed.index("too coarse")
    assert "where: study.yaml, folds.n_folds: 4, and patients.csv" in printed
    assert printed.endswith("1 fault, 1 warning.\n")


def test_a_fault_of_the_configuration_is_one_too(ask):
    status, printed = ask("--config", "om={mppp: 0.5}")
    assert status == 1
    assert "om.mppp: unknown key" in printed
    assert "where: study.yaml" in printed
    assert printed.endswith("1 fault, 0 warnings.\n")


def test_the_default_configuration_of_a_folder_is_named(painted, monkeypatch, capsys):
    monkeypatch.chdir(painted)
    assert main(["check", "--config", "om={mppp: 0.5}"]) == 1
    assert "where: study.yaml" in capsys.readouterr().out


def test_a_missing_file_is_a_fault(ask):
    status, printed = ask("--config", "data={root: .}")
    assert (status, "there is no file 'P0-OM.tif' in data.root" in printed) == (1, True)
