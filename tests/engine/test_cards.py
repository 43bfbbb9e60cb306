"""Several cards on one machine: each job takes one."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from nephroscale.engine import cards
from nephroscale.engine import job as jobs_module
from nephroscale.engine.settings import ComputeSettings
from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOLD = """
import sys
from nephroscale.engine.cards import take_card
print(take_card(int(sys.argv[1])), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,GPU-7")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setattr(cards.tempfile, "tempdir", None)
    monkeypatch.setattr(cards, "_held", {})
    yield tmp_path
    for lock in cards._held.values():
        lock.close()
    cards.tempfile.tempdir = None


def hold(jobs_per_gpu: int) -> tuple[subprocess.Popen[str], str]:
    pipe = subprocess.PIPE
    job = subprocess.Popen([sys.executable, "-c", HOLD, str(jobs_per_gpu)], stdin=pipe, stdout=pipe, text=True)
    assert job.stdout is not None
    return job, job.stdout.readline().strip()


def end(job: subprocess.Popen[str]) -> None:
    job.communicate("")
    assert job.returncode == 0


def test_jobs_take_different_cards_and_free_them(place: Path) -> None:
    first, one = hold(1)
    second, two = hold(1)
    assert (one, two) == ("0", "GPU-7")
    with pytest.raises(NephroscaleError, match="All 2 GPUs are in use") as caught:
        cards.take_card()
    assert "--resources gpu=2" in str(caught.value)
    end(first)
    assert cards.take_card() == "0"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
    os.environ["CUDA_VISIBLE_DEVICES"] = "0,GPU-7"  # the next job of the same process
    assert cards.take_card() == "0"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
    end(second)


def test_a_killed_job_frees_its_card(place: Path) -> None:
    job, card = hold(1)
    job.kill()
    job.communicate()
    assert cards.take_card() == card


def test_jobs_share_cards_only_where_asked(place: Path) -> None:
    jobs = [hold(2) for _ in range(4)]
    assert [card for _, card in jobs] == ["0", "GPU-7", "0", "GPU-7"]
    for job, _ in jobs:
        end(job)


@pytest.mark.parametrize(("shown", "slurm"), [("3", None), ("0,1", "17"), ("", None)])
def test_a_single_card_and_a_scheduler_decide_themselves(
    shown: str, slurm: str | None, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    if slurm:
        monkeypatch.setenv("SLURM_JOB_ID", slurm)
    assert cards.take_card() is None
    assert os.environ["CUDA_VISIBLE_DEVICES"] == shown


def test_a_job_that_computes_on_a_gpu_takes_a_card(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = hold(1)
    monkeypatch.setattr(jobs_module, "choose_device", lambda device: device)
    asking: Any = object.__new__(jobs_module.Job)
    asking.stage = SimpleNamespace(name="train", on_device=True)
    asking.plan = SimpleNamespace(config=SimpleNamespace(compute=ComputeSettings(device="cuda")))
    assert asking.device == "cuda"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-7"
    end(first)
