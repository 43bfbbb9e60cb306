"""The device that a job computes on, and the resources that the scheduler allocated to it."""

from __future__ import annotations

import os
import platform
import socket
import sys

from nephroscale.engine.environment import instruction_set
from nephroscale.engine.settings import ComputeSettings
from nephroscale.errors import NephroscaleError
from nephroscale.json_text import JSON


class NodeError(NephroscaleError):
    """Something is wrong with the node or the allocation, not with the work: elsewhere the job may succeed."""


def choose_device(configured: str) -> str:
    """Give the configured device, ``cpu`` or ``cuda``.

    A scheduler shows a job its own GPUs alone (``CUDA_VISIBLE_DEVICES``), so ``cuda`` is the first that it shows.

    Raises
    ------
    NodeError
        Where a GPU was asked for and the job has none.
    """
    if configured == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise NodeError(
                "compute.device is cuda, but this job sees no GPU.",
                where=f"node {socket.gethostname()}, CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES')}",
                fix="Ask for a GPU in the profile (set-resources: gpu), or set compute.device: cpu.",
            )
    return configured


def describe_device(device: str, compute: ComputeSettings) -> str:
    """Say what numbers were computed on, for the record."""
    torch = sys.modules.get("torch")
    if torch is not None and device == "cuda":
        return f"cuda {torch.cuda.get_device_name()}"
    return f"cpu {platform.machine()} {instruction_set(compute)}"


def describe_allocation() -> dict[str, JSON]:
    """What the cluster gave this job, for the record: its number there, its node and its GPUs; empty without one."""
    names = {"job": "SLURM_JOB_ID", "node": "SLURMD_NODENAME", "gpus": "CUDA_VISIBLE_DEVICES"}
    if "SLURM_JOB_ID" not in os.environ:
        return {}
    return {key: os.environ[name] for key, name in names.items() if name in os.environ}
