import sys
from types import SimpleNamespace

import pytest

from nephroscale.engine.device import NodeError, choose_device, describe_allocation, describe_device
from nephroscale.engine.settings import ComputeSettings

PORTABLE = ComputeSettings()


def fake_torch(available):
    return SimpleNamespace(
        cuda=SimpleNamespace(is_available=lambda: available, get_device_name=lambda: "NVIDIA Test 100")
    )


def test_the_cpu_is_chosen_without_looking_for_gpus(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it would fail
    assert choose_device("cpu") == "cpu"


def test_a_gpu_that_is_not_there_is_an_error_that_names_the_node_and_what_it_shows(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", fake_torch(available=False))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with pytest.raises(NodeError, match="sees no GPU") as fault:
        choose_device("cuda")
    assert "CUDA_VISIBLE_DEVICES=1" in str(fault.value)
    assert "profile" in str(fault.value)


def test_the_record_names_the_gpu_that_was_used_and_the_cpu_where_none_was(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", fake_torch(available=True))
    assert choose_device("cuda") == "cuda"
    assert describe_device("cuda", PORTABLE) == "cuda NVIDIA Test 100"
    assert describe_device("cpu", PORTABLE).endswith("portable")


def test_the_allocation_is_printed_only_on_a_cluster(monkeypatch):
    for name in ("SLURM_JOB_ID", "SLURMD_NODENAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert describe_allocation() == {}
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURMD_NODENAME", "n3")
    assert describe_allocation() == {"job": "7", "node": "n3", "gpus": "1"}
