"""`nephroscale run`, and the folder that paths of a study.yaml are relative to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from nephroscale.cli import main
from nephroscale.commands import workflow
from nephroscale.places import workflow_folder
from support.small_study import small_config, write_study


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """A study without a Snakefile, and the calls of Snakemake, which does nothing."""
    found = []

    def run(command, *, cwd, check):
        found.append((command[3:], cwd))
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workflow.subprocess, "run", run)
    (tmp_path / "study").mkdir()
    (tmp_path / "study/study.yaml").touch()
    return found


def test_options_and_targets_go_to_snakemake(calls, tmp_path, monkeypatch):
    assert main(["run", "study", "--profile", "slurm", "all"]) == 3
    snakefile = ["--snakefile", str(workflow_folder() / "Snakefile"), "--configfile", "study.yaml"]
    assert calls.pop() == ([*snakefile, "--profile", "slurm", "all"], Path("study"))
    (tmp_path / "study/Snakefile").touch()
    main(["run", "study/study.yaml", "-n", "features"])
    assert calls.pop() == (["--cores", "all", "-n", "features"], Path("study"))
    monkeypatch.chdir("study")
    main(["run", "--configfile", "more.yaml", "-j4"])
    assert calls.pop() == (["--configfile", "more.yaml", "-j4"], Path())
    main(["run", "features"])
    assert calls.pop() == (["--cores", "all", "features"], Path())


def test_a_folder_without_a_study_is_one_message(calls, capsys):
    assert main(["run"]) == 1
    assert main(["run", "elsewhere/study", "all"]) == 1
    assert capsys.readouterr().err.count("There is no study.yaml") == 2
    assert not calls


def test_the_help_is_of_this_command(calls, capsys):
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    assert "nephroscale run [STUDY]" in capsys.readouterr().out


@pytest.mark.slow
def test_commands_read_a_study_from_any_folder(tmp_path, monkeypatch, capsys):
    write_study(tmp_path / "study")
    (tmp_path / "study/study.yaml").write_text(yaml.safe_dump(small_config()))
    monkeypatch.chdir(tmp_path)
    assert main(["status", "--configfile", "study/study.yaml"]) == 0
    assert Path.cwd() == tmp_path / "study"
    assert main(["status"]) == 0
    assert capsys.readouterr().out.count("register") == 2
    (tmp_path / "study/patients.csv").unlink()
    assert main(["status"]) == 1
    assert f"patients.csv: cannot be read in the folder {tmp_path}/study (No such file" in capsys.readouterr().err


@pytest.mark.slow
def test_a_folder_of_images_is_registered_from_elsewhere(tmp_path):
    """From files to artifacts: init, then `nephroscale run`, and Snakemake with the workflow's own Snakefile."""
    write_study(tmp_path / "made")
    raw, study, elsewhere = tmp_path / "raw", tmp_path / "My Study", tmp_path / "elsewhere"
    for patient in ("P1", "P2"):
        (raw / patient / "EM").mkdir(parents=True)
        (tmp_path / f"made/raw/{patient}-TEM.png").rename(raw / patient / "EM/1.png")
    elsewhere.mkdir()
    nephroscale = [sys.executable, "-m", "nephroscale"]

    def call(*command):
        environment = {**os.environ, "PYTHONPATH": str(workflow_folder().parent / "scripts")}
        done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    call(*nephroscale, "init", str(study), "--from", str(raw))
    images = (study / "images.csv").read_text(encoding="utf-8-sig").replace("EM/1.png,,,", "EM/1.png,,8,")
    (study / "images.csv").write_text(images, encoding="utf-8")
    call(*nephroscale, "run", str(study), "tem")
    assert {path.name for path in (study / "results/tem").glob("*.json")} == {"P1.json", "P2.json"}
    snakefile = str(workflow_folder() / "Snakefile")
    again = call(
        *(sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--configfile", "../My Study/study.yaml"),
        *("--cores", "1", "tem"),
    )
    assert "Nothing to be done" in again
    assert not [path for path in elsewhere.rglob("*") if path.is_file() and ".snakemake" not in path.parts]
