"""Settings of the computing environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nephroscale.settings import Settings, setting


@dataclass(frozen=True)
class ComputeSettings(Settings):
    """How numbers are computed; part of every recipe whose bytes depend on it."""

    threads: int = setting(
        "Numerical threads of a job. A different number changes the last bits of results, so it is part of the recipe.",
        1,
        minimum=1,
    )
    device: Literal["cpu", "cuda"] = setting(
        "Where torch stages run. `cuda` without a GPU in the job is an error.", "cpu"
    )
    jobs_per_gpu: int = setting(
        "How many jobs may share a GPU on one machine without a scheduler; with `--resources gpu=` the number of GPUs "
        "times this. Not part of any recipe.",
        1,
        minimum=1,
    )
    instruction_set: Literal["portable", "native"] = setting(
        "Code of numerical libraries on the CPU. `portable` gives the same bytes on all x86-64 processors with AVX2; "
        "`native` is what each library prefers on the processor, whose class is then part of the recipe.",
        "portable",
    )
    copy_raw_to_node: bool = setting(
        "Copy raw images to the node's own disk ($TMPDIR) before reading them, and check their digest on the way; for "
        "file systems that are slow at random access. Not part of any recipe.",
        default=False,
        was="stage_raw",
    )
