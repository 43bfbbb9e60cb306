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
        "Device of the stages that use torch; the segmenters use the CPU. `cuda` is an error if a job finds no GPU.",
        "cpu",
    )
    jobs_per_gpu: int = setting(
        "How many jobs may share a GPU on a machine without a scheduler. Give `--resources gpu=` the number of GPUs "
        "times this number. Not part of any recipe.",
        1,
        minimum=1,
    )
    instruction_set: Literal["portable", "native"] = setting(
        "Code of numerical libraries on the CPU. `portable` gives the same bytes on all x86-64 processors with AVX2; "
        "`native` is what each library prefers on the processor, whose class is then part of the recipe.",
        "portable",
    )
    processor: str = setting(
        "With `native`, the class of the processors that run the jobs, such as `AMD-AVX2`, where the computer that "
        "plans has another one; a job on a processor of another class fails. Empty is the class of the computer that "
        "plans.",
        "",
    )
    copy_raw_to_node: bool = setting(
        "Copy raw images to the node's own disk ($TMPDIR) before reading them, and check their digest during the "
        "copy. Use it if the file system is slow at random access. Not part of any recipe.",
        default=False,
        was="stage_raw",
    )
