"""What a command line of Snakemake asks for, and whether Slurm answers."""

import pytest

from nephroscale.engine.snakemake.call import Call, check_executor
from nephroscale.errors import NephroscaleError
from nephroscale.stages.registry import ORDER, stage_table


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A folder with a Snakefile and a profile for Slurm."""
    (tmp_path / "Snakefile").write_text("")
    (tmp_path / "slurm").mkdir()
    (tmp_path / "slurm/config.yaml").write_text("executor: slurm\njobs: 2\n")
    monkeypatch.chdir(tmp_path)


def read(*arguments):
    return Call.read(["/usr/bin/snakemake", *arguments])


def test_a_run_on_this_machine():
    assert read("--cores", "2", "all") == Call("local", starts_jobs=True, targets=("all",), gpus=0)
    assert read("--cores", "2", "--", "tiles", "tem").targets == ("tiles", "tem")
    assert read("--cores", "2", "--resources", "gpu=4", "mem_mb=500", "--", "all").gpus == 4
    assert Call.read(["/usr/bin/python"]) == Call()


def test_the_executor_of_a_profile_prints_nothing(capfd):
    assert read("--profile", "slurm", "all") == Call("slurm", starts_jobs=True, targets=("all",), gpus=0)
    assert capfd.readouterr() == ("", "")


def test_a_profile_that_does_not_exist():
    with pytest.raises(NephroscaleError, match=r"cannot read its options: .*absent"):
        read("--profile", "absent")


@pytest.mark.parametrize(
    "options",
    [["-n"], ["--dag"], ["--rulegraph"], ["--summary"], ["--lint"], ["--list-rules"], ["--unlock"], ["--touch"]],
)
def test_calls_that_start_no_job(options):
    assert not read("--cores", "1", *options).starts_jobs


def test_the_stages_of_targets():
    stages = stage_table()
    assert set(Call(targets=("tem",)).stages(stages)) == {"register", "tem"}
    assert list(Call(targets=("tem", "results/report.json")).stages(stages)) == list(ORDER)
    assert list(Call().stages(stages)) == list(ORDER)


def add_programs(folder, monkeypatch, **programs):
    """Make programs of shell scripts the only ones."""
    (folder / "bin").mkdir()
    for name, script in programs.items():
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder / "bin"))


def test_slurm_that_answers(tmp_path, monkeypatch):
    add_programs(tmp_path, monkeypatch, sbatch="exit 1", scontrol='echo "Slurmctld(primary) at head is UP"')
    assert check_executor(Call("slurm")) == []


@pytest.mark.parametrize(
    ("programs", "message"),
    [
        ({"sbatch": "", "scontrol": "echo fetch_config: lookup failed >&2; exit 1"}, "fetch_config: lookup failed"),
        ({"sbatch": "", "scontrol": 'echo "Slurmctld(primary) at head is DOWN"; exit 1'}, "at head is DOWN"),
        ({}, "there is no `sbatch`"),
    ],
)
def test_slurm_that_does_not_answer(tmp_path, monkeypatch, programs, message):
    add_programs(tmp_path, monkeypatch, **programs)
    (fault,) = check_executor(Call("slurm"))
    assert message in str(fault)
    assert "where: executor: slurm" in str(fault)
    assert check_executor(Call("local")) == []
