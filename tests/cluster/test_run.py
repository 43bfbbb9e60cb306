"""`snakemake --profile slurm all` on a real Slurm: a whole run, a second run, and groups of jobs."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections import Counter

import pytest
import yaml

from nephroscale.stages.registry import stage_table
from support.cluster_project import PROFILE
from support.small_study import write_study

pytestmark = pytest.mark.cluster


def test_the_exact_command_ends_in_the_report(first_run):
    project, run, _ = first_run
    figures = json.loads((project.path / "results/tiny/report/metrics.json").read_text())
    assert set(figures["models"]) == {"cmusnet", "tem-only"}
    assert run.computed == sorted(unit_of(name) for name in project.receipts())
    assert "Report: results/tiny/report/index.html" in run.output


def test_every_job_requested_its_resources_and_ran_in_its_partition(first_run):
    project, _, ended = first_run
    assert {job.state for job in ended} == {"COMPLETED"}
    assert {job.node for job in ended} <= {"n1", "n2"}  # compute.device is cpu, so no GPU node is used
    allocations = [record(path)["made"]["allocation"] for path in project.path.glob("store/records/*/*.json")]
    assert {a["node"] for a in allocations} <= {"n1", "n2"}
    assert all("gpus" not in a for a in allocations)


def test_many_small_jobs_need_few_submissions(first_run):
    project, run, ended = first_run
    profile = yaml.safe_load((project.path / PROFILE).read_text())
    groups, sizes = profile["groups"], profile["group-components"]
    alone = [unit for unit in run.computed if rule_of(unit) not in groups]
    members = Counter(groups.get(rule_of(unit)) for unit in run.computed)
    together = sum(math.ceil(members[group] / size) for group, size in sizes.items())
    audit = 1  # it describes every run, so its own is not among those that are counted
    assert len(ended) == len(alone) + audit + together
    assert len(ended) < len(run.computed) / 3


def test_cache_hits_need_no_submission(project, cluster):
    before, ended = cluster.last_job_id(), len(cluster.finished())
    raw = project.path / "demo/tiny/tem"
    shutil.copy(raw / "P01-TEM1.png", raw / "copy.png")  # the same bytes, written again
    (raw / "copy.png").replace(raw / "P01-TEM1.png")
    for path in [*project.path.glob("scripts/*.py"), *project.path.glob("config/**/*")]:
        os.utime(path)
    shutil.rmtree(project.path / "results/tiny/tiles")
    run = project.slurm("all")
    assert run.idle, run.output
    assert cluster.last_job_id() == before
    assert len(cluster.finished()) == ended


def test_a_forced_rule_runs_again_and_its_records_agree(project, cluster):
    before = cluster.last_job_id()
    run = project.slurm("--forcerun", "prepare_tem", "--", "tem")
    assert run.code == 0, run.output
    assert run.computed == sorted(f"tem/{path.stem}" for path in project.path.glob("results/tiny/tem/*.json"))
    repeats = [record(path) for path in project.path.glob("store/repeats/*.json")]
    assert [repeat["agrees"] for repeat in repeats] == [True] * len(run.computed)
    assert all("node" in repeat["made"]["allocation"] for repeat in repeats)
    assert cluster.last_job_id() > before


def unit_of(receipt):
    stage, slash, unit = receipt.removesuffix(".json").partition("/")
    return f"{stage}/{unit}" if slash else f"{stage}/cohort"


def record(path):
    return json.loads(path.read_text())


def rule_of(unit):
    return stage_table()[unit.partition("/")[0]].rule


def test_a_study_in_a_folder_of_its_own_runs_by_the_same_command(cluster, tmp_path, root):
    write_study(tmp_path / "made")
    raw, study = tmp_path / "raw", tmp_path / "study"
    (raw / "P1/EM").mkdir(parents=True)
    (tmp_path / "made/raw/P1-TEM.png").rename(raw / "P1/EM/1.png")
    environment = {**cluster.environment, "PYTHONPATH": str(root / "scripts")}

    def call(*command: str) -> str:
        command = (sys.executable, "-m", *command)
        done = subprocess.run(command, cwd=study, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    study.mkdir()
    call("nephroscale", "init", ".", "--from", "../raw")
    before = len(cluster.finished())
    call("snakemake", "--profile", "slurm", "register")
    assert (study / "results/register/P1.json").is_file()
    cluster.wait_until(lambda: not cluster.jobs(), 60, "the queue is empty")
    assert len(cluster.finished()) > before
    assert "Nothing to be done" in call("snakemake", "--profile", "slurm", "register")
