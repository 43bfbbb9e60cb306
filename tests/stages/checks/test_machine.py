"""What keeps a machine from running jobs."""

import os
from pathlib import Path

import pytest
import torch

from nephroscale.engine.snakemake.call import Call
from nephroscale.stages.checks import machine


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(machine, "check_executor", lambda call: [])


def faults(study, call=Call(), stages=("tiles", "train")):  # noqa: B008  (immutable)
    return list(map(str, machine.check_machine(study.plan(), call, stages)))


def test_a_machine_that_can_run_everything(study):
    assert faults(study) == []


def test_a_gpu_that_is_asked_for_and_missing(study):
    study.set(compute={"device": "cuda"})
    (fault,) = faults(study)
    assert "this machine has no GPU that torch can use" in fault
    assert "Set compute.device: cpu" in fault


def test_a_gpu_is_needed_neither_for_jobs_elsewhere_nor_for_stages_without_networks(study):
    study.set(compute={"device": "cuda"})
    assert faults(study, Call("slurm")) == []
    assert faults(study, stages=("register", "tiles")) == []


def test_results_and_store_that_cannot_be_written(study, monkeypatch):
    study.config |= {"results": "locked/results", "store": {"path": "locked"}}
    Path("locked").mkdir()
    access = os.access  # the tests may run as root, who may write anywhere
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "locked" and access(path, mode))
    found = faults(study)
    assert len(found) == 2
    assert all("locked cannot be written." in text for text in found)
    assert "configuration, results: locked/results" in found[0]
    assert "configuration, store.path: locked" in found[1]


def test_a_file_in_the_place_of_the_store(study):
    study.config["store"] = {"path": "images.csv/store"}
    assert "images.csv is not a folder." in faults(study)[0]


@pytest.mark.parametrize(
    ("cards", "gpus", "fix"),
    [("0", 0, "gpu=2"), ("0", 3, "gpu=2"), ("0", 2, None), ("0,1", 5, "gpu=4"), ("0,1", 1, None), ("0", None, None)],
)
def test_snakemake_is_told_how_many_jobs_may_use_the_gpus(study, monkeypatch, cards, gpus, fix):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", cards)
    study.set(compute={"device": "cuda", "jobs_per_gpu": 2})
    found = faults(study, Call(gpus=gpus))
    assert [text.rpartition("fix: ")[2] for text in found] == ([f"Add --resources {fix}."] if fix else [])
    assert faults(study, Call("slurm", gpus=0)) == []
    study.set(compute={"device": "cpu"})
    assert faults(study, Call(gpus=0)) == []
