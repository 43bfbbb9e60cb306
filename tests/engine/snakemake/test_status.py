import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from nephroscale.engine.make_units import not_made
from nephroscale.engine.snakemake.job_groups import has_notes, wait_for_receipts, write_note
from nephroscale.engine.snakemake.status import summary
from nephroscale.engine.stage import Need
from nephroscale.store.receipts import Receipt


class Plan:
    """The part of a plan that the summary reads: one stage of three units."""

    def __init__(self, folder):
        self.folder = self.results = folder
        self.stages = {"tem": SimpleNamespace()}
        self.cohort = SimpleNamespace(images={})
        self.receipts = {"P1": Receipt("tem", "P1", "accepted", digest="00")}

    def units(self, stage):
        return ["P1", "P2", "P3"]

    study_units = units

    def receipt(self, stage, unit):
        return self.receipts.get(unit)

    def receipt_path(self, stage, unit):
        return self.folder / f"{stage}/{unit}.json"

    def log_path(self, stage, unit):
        return self.folder / f"logs/{stage}/{unit}.log"


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs/tem").mkdir(parents=True)
    return Plan(tmp_path)


def note(plan, unit, **values):
    path = plan.log_path("tem", unit).with_suffix(".attempt")
    known = {"host": os.uname().nodename, "pid": os.getpid(), "cluster_job": "", "since": "2026-01-01T00:00:00Z"}
    path.write_text(json.dumps(known | {"numbers": [1], "failed": False} | values))


def section(text, title):
    return text.partition(f"\n{title}:\n")[2].partition("\n\n")[0]


def test_it_counts_what_is_made(plan):
    assert "tem              1 of 3" in summary(plan)


def test_a_job_of_a_living_process_runs_and_one_of_a_dead_process_was_ended(plan):
    note(plan, "P2")
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    note(plan, "P3", pid=int(dead.stdout))
    text = summary(plan)
    assert "tem of P2" in section(text, "Running")
    assert f"process {os.getpid()}" in section(text, "Running")
    assert "tem of P3" in section(text, "Ended before they were done")


def test_a_job_on_the_cluster_runs_while_slurm_says_so(plan, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    squeue = tmp_path / "bin/squeue"
    squeue.write_text("#!/bin/sh\necho 12\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", str(squeue.parent), prepend=os.pathsep)
    log = tmp_path / ".snakemake/slurm_logs/group_bags/13.log"
    log.parent.mkdir(parents=True)
    log.touch()
    note(plan, "P2", cluster_job="12", host="n1")
    note(plan, "P3", cluster_job="13", host="n2")
    text = summary(plan)
    assert "tem of P2" in section(text, "Running")
    assert "cluster job 12, since 2026-01-01T00:00:00Z" in section(text, "Running")
    assert ".snakemake/slurm_logs/group_bags/13.log" in section(text, "Ended before they were done")


def test_a_failed_job_names_its_log_and_the_cluster_s(plan, tmp_path):
    plan.log_path("tem", "P2").with_suffix(".error").write_text("What is wrong.\n")
    note(plan, "P2", cluster_job="14", failed=True)
    log = tmp_path / ".snakemake/slurm_logs/rule_prepare_tem/P2/14.log"
    log.parent.mkdir(parents=True)
    log.touch()
    text = section(summary(plan), "Failed")
    assert "tem of P2" in text
    assert "logs/tem/P2.log, cluster's log .snakemake/slurm_logs/rule_prepare_tem/P2/14.log" in text
    assert "What is wrong." in text


def test_a_tem_image_that_was_left_out_is_named_with_its_cause(plan):
    dropped = [{"id": "P1-T3", "reason": "cannot be opened"}]
    plan.receipts["P1"] = Receipt("tem", "P1", "accepted", digest="00", figures={"dropped": dropped})
    assert section(summary(plan), "TEM images left out") == "  P1-T3 of P1\n    cannot be opened"


def test_units_behind_a_failed_job_name_it(plan):
    assert not has_notes(plan)
    write_note(plan.receipt_path("tem", "P2"), "why")
    assert has_notes(plan)
    stage = SimpleNamespace(needs=lambda _plan, _unit: [Need("tem", u) for u in ("P1", "P2")])
    assert "tem of P2" in str(not_made(plan, stage, "P9"))
    assert "tem of P1" not in str(not_made(plan, stage, "P9"))


def test_artifacts_of_patients_who_are_not_in_the_tables_are_not_called_outdated(plan):
    """Such as those of new patients, in a call without their tables: no run makes new ones."""
    for unit in ("P2", "N1", "N2"):
        receipt = Receipt("tem", unit, "accepted", digest=unit, size=1_000_000)
        path = plan.results / ".outdated/tem" / f"{unit}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(receipt.text())
    lines = summary(plan).splitlines()
    assert any(line.startswith("Outdated artifacts: 1, 1.0 MB (their links stay until new ones") for line in lines)
    assert any(line.startswith("Artifacts that are not part of this run: 2, 2.0 MB (") for line in lines)


def test_the_present_report_is_no_past_report(plan):
    present, former = (Receipt("report", "cohort", "accepted", digest=each, size=1_000_000) for each in ("11", "22"))
    plan.receipts["P1"] = present
    (folder := plan.results / "reports").mkdir()
    (folder / "2.json").write_text(present.text())
    assert "Past reports" not in summary(plan)
    (folder / "1.json").write_text(former.text())
    assert "Past reports: 1, 1.0 MB (" in summary(plan)


def test_waiting_for_receipts_ends_when_they_appear_or_the_time_is_over(tmp_path, monkeypatch):
    clock = SimpleNamespace(now=0.0, sleeps=0)

    def sleep(seconds):
        clock.now += seconds
        clock.sleeps += 1
        if clock.sleeps == 3:
            (tmp_path / "late").touch()

    monkeypatch.setattr("time.monotonic", lambda: clock.now)
    monkeypatch.setattr("time.sleep", sleep)
    (tmp_path / "present").touch()
    wait_for_receipts([tmp_path / "present"])
    assert clock.sleeps == 0
    wait_for_receipts([tmp_path / "present", tmp_path / "late"])
    assert clock.sleeps == 3
    wait_for_receipts([tmp_path / "absent"], seconds=5)
    assert clock.sleeps == 8
