"""Faults of a cluster: each is caused on a real Slurm, and the same command then completes the work."""

import json
import os
import signal

import pytest

from support.cluster_project import HOLD, PROFILE

pytestmark = pytest.mark.cluster

TEM = ["tem/P01", "tem/P02", "tem/P03"]  # travel in one group
TARGETS = [f"results/tiny/{unit}.json" for unit in TEM]
WEIGHTS = "train/tem-only/fold0-seed1"


FAULT = """
    import pathlib
    from nephroscale.errors import NephroscaleError

    if job.unit == "P03" and pathlib.Path("fault").exists():
        raise NephroscaleError("the fault of P03")
"""


@pytest.fixture
def held(project):
    """The project with TEM to prepare again, whose jobs wait; and a run of them that has just come to a node."""
    project.insert("tem", HOLD)
    project.hold()
    started = project.begin(*TARGETS)
    project.wait_until_running()
    yield project, started
    started.process.kill()


def tem_receipts(project):
    return {name: text for name, text in project.receipts().items() if name.removesuffix(".json") in TEM}


def check_complete(project, made, run, computed=TEM):
    """Check that a run succeeded, computed each unit once, gave the artifacts of an undisturbed run and is complete."""
    assert run.code == 0, run.output
    assert run.computed == computed
    assert tem_receipts(project) == tem_receipts(made)
    assert project.slurm(*TARGETS).idle


def test_a_cancelled_job_is_submitted_again(held, made, cluster):
    project, started = held
    cancelled = project.wait_until_running()["id"]
    cluster.command("scancel", cancelled)
    (project.path / "hold").unlink()
    check_complete(project, made, started.finish())
    assert "CANCELLED" in {job.state for job in cluster.finished() if job.id == int(cancelled)}


def test_a_lost_node_s_jobs_run_on_another(held, made, cluster):
    project, started = held
    job = project.wait_until_running()
    cluster.lose_node(job["node"])
    try:
        cluster.start_now(job["id"])
        (project.path / "hold").unlink()
        check_complete(project, made, started.finish())
        *_, last = [end for end in cluster.finished() if end.id == int(job["id"])]
        assert (last.state, {last.node, job["node"]}) == ("COMPLETED", {"n1", "n2"})
    finally:
        cluster.restore_node(job["node"])


def test_a_preempted_job_is_queued_again_by_slurm(held, made, cluster):
    project, started = held
    job = project.wait_until_running()
    cluster.command("sbatch", "--partition=spare", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 5")
    cluster.start_now(job["id"])
    (project.path / "hold").unlink()
    check_complete(project, made, started.finish())
    assert [end.state for end in cluster.finished() if end.id == int(job["id"])] == ["PREEMPTED", "COMPLETED"]


def test_a_job_over_its_time_is_submitted_again_with_more(project, made, cluster):
    project.edit(PROFILE, "set-resources:\n", "set-resources:\n  prepare_tem:\n    runtime: 1 * attempt\n")
    project.insert("tem", HOLD)
    project.hold()
    started = project.begin("results/tiny/tem/P01.json")
    job = project.wait_until_running()
    cluster.wait_until(lambda: job["id"] not in {j["id"] for j in cluster.jobs()}, 150, "the time is over")
    (project.path / "hold").unlink()
    run = started.finish()
    assert run.code == 0, run.output
    assert run.computed == ["tem/P01"]
    assert next(end.state for end in cluster.finished() if end.id == int(job["id"])) == "TIMEOUT"
    again = next(end for end in cluster.finished() if end.id > int(job["id"]))
    assert (again.state, again.limit_minutes) == ("COMPLETED", 2)


def test_a_job_over_its_memory_is_submitted_again_with_more(project, cluster):
    project.edit(PROFILE, "set-resources:\n", "set-resources:\n  prepare_tem:\n    mem_mb: 700 * attempt\n")
    project.insert(
        "tem", '\n    ballast = bytearray(800 << 20); ballast[::4096] = b"x" * len(ballast[::4096])\n' + HOLD
    )
    before = cluster.last_job_id()
    project.hold()
    started = project.begin("results/tiny/tem/P01.json")
    cluster.wait_until(lambda: [e for e in cluster.finished() if e.id > before], 300, "a job is ended for its memory")
    (project.path / "hold").unlink()
    run = started.finish()
    assert run.code == 0, run.output
    assert run.computed == ["tem/P01"]
    first, second = [end for end in cluster.finished() if end.id > before]
    assert first.state in {"OUT_OF_MEMORY", "CANCELLED", "FAILED"}
    assert (first.memory_mb, second.memory_mb, second.state) == (700, 1400, "COMPLETED")


def test_one_failing_slide_stops_nothing_else_and_is_named(project, made):
    project.insert("tem", FAULT)
    (project.path / "fault").touch()
    run = project.slurm(*TARGETS)
    assert run.code != 0
    assert run.computed == [unit for unit in TEM if unit != "tem/P03"]
    assert "tem of P03, log results/tiny/logs/tem/P03.log" in run.output
    assert "the fault of P03" in run.output
    status = project.status()
    assert "tem              2 of 6" in status
    assert "tem of P03" in status
    (project.path / "fault").unlink()
    check_complete(project, made, project.slurm(*TARGETS), computed=["tem/P03"])


def test_a_job_that_crashes_its_group_every_time_is_skipped_in_the_last_attempt(project):
    crash = '\n    import os\n    if job.unit == "P03":\n        os._exit(9)\n'
    project.insert("tem", crash)
    run = project.slurm(*TARGETS)
    assert run.code != 0
    assert run.computed == [unit for unit in TEM if unit != "tem/P03"]
    assert "Its group ended 2 times while it ran" in run.output


# -- training -----------------------------------------------------------------------------------------------------

# Waits after its second epoch while a file is there.
SLOW = """
    import pathlib, time
    from functools import partial
    import nephroscale.training.fit as module

    def log_line(line):
        print(line)
        if line.startswith("epoch 2"):
            pathlib.Path("running").touch()
            while pathlib.Path("hold").exists():
                time.sleep(0.2)

    module.fit = partial(module.fit, log=log_line)
"""


@pytest.fixture
def training(project):
    """The project with one network to train again, which waits after its second epoch; and the run of it."""
    project.insert("train", SLOW)
    project.hold()
    started = project.begin(f"results/tiny/{WEIGHTS}.json")
    job = project.wait_until_running()
    yield project, started, job
    started.process.kill()


def check_resumed(project, made, run):
    assert run.code == 0, run.output
    assert run.computed == [WEIGHTS]
    assert "Resuming after epoch" in (project.path / f"results/tiny/logs/{WEIGHTS}.log").read_text()
    assert project.receipt(WEIGHTS)["digest"] == made.receipt(WEIGHTS)["digest"]
    assert json.loads((project.path / f"results/tiny/{WEIGHTS}/curve.json").read_text())[-1]["epoch"] == 4


def test_a_cancelled_training_goes_on_from_its_last_epoch_to_the_same_weights(training, made, cluster):
    project, started, job = training
    cluster.command("scancel", job["id"])
    cluster.wait_until(lambda: job["id"] not in {j["id"] for j in cluster.jobs()}, 60, "the job has ended")
    (project.path / "hold").unlink()
    check_resumed(project, made, started.finish())


def test_a_killed_snakemake_is_started_again_and_leaves_no_job_behind(training, made, cluster):
    project, started, job = training
    os.kill(started.process.pid, signal.SIGKILL)
    started.process.wait()
    assert cluster.running("rule_train_model")["id"] == job["id"]  # the job does not know
    assert f"train of {WEIGHTS.removeprefix('train/')}" in project.status()
    again = project.begin(f"results/tiny/{WEIGHTS}.json")
    cluster.wait_until(lambda: job["id"] not in {j["id"] for j in cluster.jobs()}, 120, "the old job is cancelled")
    (project.path / "hold").unlink()
    run = again.finish()
    assert "its lock is removed and 1 of its jobs are cancelled" in run.output
    check_resumed(project, made, run)


# -- GPUs ---------------------------------------------------------------------------------------------------------


def test_two_gpus_of_one_node_are_not_mixed_up(project, cluster):
    project.edit(
        PROFILE,
        "  train_model:\n    slurm_partition: \"'gpu' if '$NEPHROSCALE_DEVICE' == 'cuda' else 'cpu'\"",
        "  train_model:\n    slurm_partition: gpu\n    gpu: 1",
    )
    project.insert("train", HOLD)
    hold = project.hold()
    started = project.begin(*(f"results/tiny/train/cmusnet/fold{fold}-seed1.json" for fold in (0, 1)))
    both = lambda: len([j for j in cluster.jobs("RUNNING") if j["comment"].startswith("rule_train_model")]) == 2  # noqa: E731
    cluster.wait_until(both, 300, "both train at once")
    hold.unlink()
    run = started.finish()
    assert run.code == 0, run.output
    allocations = [made.get("allocation", {}) for made in project.made("train")]
    assert sorted((a["node"], a["gpus"]) for a in allocations if "gpus" in a) == [("n3", "0"), ("n3", "1")]


def test_a_missing_gpu_is_a_clear_error(project, cluster):
    project.edit("config/config.yaml", "om:\n", "compute: {device: cuda}\nom:\n")
    project.edit(PROFILE, "retries: 2 ", "retries: 0 ")
    before = cluster.last_job_id()
    run = project.slurm("results/tiny/features/P01-TEM.json")
    assert run.code != 0
    assert "compute.device is cuda, but this job sees no GPU" in run.output
    assert "CUDA_VISIBLE_DEVICES=0" in run.output  # Slurm gave one; it is a faked one
    (ended,) = [end for end in cluster.finished() if end.id > before]
    assert ended.partition == "gpu"
