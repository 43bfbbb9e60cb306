import os

import pytest

from nephroscale.engine.device import NodeError
from nephroscale.engine.snakemake.attempt import Attempt, AttemptState
from nephroscale.engine.snakemake.job_groups import ATTEMPT, DEVICE, export_attempt, export_run
from nephroscale.errors import NephroscaleError


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("SLURM_JOB_ID", ATTEMPT, DEVICE, "NEPHROSCALE_GROUPED", "NEPHROSCALE_RETRIES"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name, "")  # so that the variables set by export_* are restored
        monkeypatch.delenv(name)


def attempt(tmp_path, number, rule="prepare_tem"):
    export_attempt(["snakemake", "--attempt", str(number)], "cpu")
    return Attempt(rule, tmp_path / "P1.log")


def test_the_attempt_is_taken_from_a_job_s_arguments_and_is_the_first_elsewhere():
    export_attempt(["snakemake", "--attempt", "3", "--force"], "cuda")
    assert (os.environ[ATTEMPT], os.environ[DEVICE]) == ("3", "cuda")
    export_attempt(["snakemake", "all"], "cpu")
    assert (os.environ[ATTEMPT], os.environ[DEVICE]) == ("1", "cpu")


def test_a_running_job_is_noted_and_a_done_one_forgotten(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    job = attempt(tmp_path, 1)
    job.begin()
    note = AttemptState.read(tmp_path / "P1.attempt")
    assert (note.pid, note.cluster_job, note.numbers, note.failed) == (os.getpid(), "12", [1], False)
    job.fail()
    assert AttemptState.read(tmp_path / "P1.attempt").failed
    job.succeed()
    assert AttemptState.read(tmp_path / "P1.attempt") is None


@pytest.mark.parametrize(
    ("rule", "number", "fault", "noted"),
    [
        ("prepare_tem", 1, NephroscaleError("data"), True),
        ("prepare_tem", 1, NodeError("no GPU"), False),
        ("prepare_tem", 1, OSError("the file system"), False),
        ("prepare_tem", 3, OSError("the file system"), True),
        ("train_model", 3, NephroscaleError("data"), False),
    ],
)
def test_a_grouped_job_leaves_a_note_if_its_failure_would_recur(tmp_path, rule, number, fault, noted):
    export_run(["prepare_tem", "tile_slide"], 2)
    assert attempt(tmp_path, number, rule).leaves_note(fault) is noted


def test_a_job_that_crashed_its_group_every_time_is_skipped_in_the_last_attempt(tmp_path):
    export_run(["prepare_tem"], 2)
    for number in (1, 2):
        attempt(tmp_path, number).begin()  # and never ends
    with pytest.raises(NephroscaleError, match="ended 2 times while it ran"):
        attempt(tmp_path, 3).begin()


def test_a_job_that_did_not_run_when_its_group_crashed_is_not_skipped(tmp_path):
    export_run(["prepare_tem"], 2)
    attempt(tmp_path, 1).begin()
    second = attempt(tmp_path, 2)
    second.begin()
    second.succeed()
    attempt(tmp_path, 3).begin()
    assert AttemptState.read(tmp_path / "P1.attempt").numbers == [3]


def test_a_new_run_begins_without_strikes(tmp_path):
    export_run(["prepare_tem"], 2)
    for number in (1, 2, 1, 2):
        attempt(tmp_path, number).begin()
    assert AttemptState.read(tmp_path / "P1.attempt").numbers == [1, 2]
