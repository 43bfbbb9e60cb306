"""A training step of CMUS-Net: ours, recorded and compiled on a GPU, compared with the per-instance form.

    python benchmarks/mil_step.py [--encoder small-cnn|swin-b] [--size 64] [--batch 8] [--rounds 7] [--device cuda]
        [--forms plain,recorded] [--kernels]

Without `--encoder` every case is run, on the CPU and, where there is one, on a GPU. The forms:

- `per-instance`: image by image, patient by patient, as the released code does (tests/support/mil_step.py);
- `plain`: one padded, masked pass; on a CPU with bfloat16, `bfloat16` too;
- `recorded`: the same as a CUDA graph, on a GPU;
- `compiled`: with the encoders' blocks compiled, on a GPU recorded, too;
- `whole`: network and loss compiled in one piece, without a graph break; on a CPU for the smallest case.

All train the same network with the same loss, and their losses are compared before anything is timed; those of `plain`
and `recorded` have to be equal. Rounds are interleaved; printed are medians, ratios and, of a GPU, the fraction of the
matrix rate that this run measured (8192 cubed, bfloat16), counting the arithmetic of real images in the encoders alone
(three times the forward pass). `--kernels` prints where a GPU's time goes; on a CPU the number of operators is printed.
One thread of a CPU is timed by its own clock, so that other work on the machine matters less.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from nephroscale.models.batch import Batch
from nephroscale.training.epoch import training_step
from nephroscale.training.optimizer import set_gradients
from nephroscale.training.precision import make_deterministic
from nephroscale.training.precision import prepare as prepare_network
from nephroscale.training.recorded import Recorded, pad_images
from support.mil_step import TRAIN, per_instance, prepare

# What a GPU is asked to do of the last case: the size of a study's batches and bags.
ON_GPU = ["--batch=8", "--instances=10", "--rounds=7", "--steps=3"]
CASES: list[tuple[str, list[str]]] = [
    ("small encoder, 64 px", ["--encoder=small-cnn", "--size=64"]),
    ("small encoder, 112 px", ["--encoder=small-cnn", "--size=112"]),
    ("small encoder, 224 px", ["--encoder=small-cnn", "--size=224", "--rounds=5"]),
    (
        "Swin-B, 224 px",
        ["--encoder=swin-b", "--size=224", "--batch=2", "--instances=4", "--rounds=2", "--steps=1"],
    ),
]


SMALLEST = 64
"""Side of the images, in pixels, up to which the whole step is compiled on a CPU: it takes more than a minute."""
PRECISION = {"bfloat16": "bfloat16", "per-instance": "float32"}
FLOP = {"swin-b": 2 * 15.4e9}
"""Of a forward pass of one image of 224 px (Liu et al., 2021, table 1: 15.4 G multiply-adds)."""


class Form:
    """One form of the step, with a network of its own."""

    def __init__(self, name: str, arguments: argparse.Namespace) -> None:
        self.network, self.optimizer, self.batch = prepare(arguments)
        self.name, self.settings = name, replace(TRAIN, precision=PRECISION.get(name, "auto"))
        if name == "compiled":
            prepare_network(self.network, replace(TRAIN, compile=True))
        if name == "per-instance":
            inner, network = self.network, self.network
            self.network = lambda batch: per_instance(inner, batch)  # type: ignore[assignment]
            self.network.batch_loss = network.batch_loss  # type: ignore[attr-defined,method-assign]
        step = partial(training_step, self.network, self.optimizer, self.settings)  # type: ignore[arg-type]
        if name == "whole":
            step = partial(self.compiled_step, torch.compile(self.loss, fullgraph=True, dynamic=False))
        recorded = arguments.device == "cuda" and name in {"recorded", "compiled"}
        self.take = Recorded(step, self.state) if recorded else step
        if name != "per-instance":
            batch = self.batch.to("cpu")
            self.batch = pad_images(batch, batch).to(arguments.device)

    def loss(self, batch: Batch) -> torch.Tensor:
        """Compute the loss [] of a batch."""
        return self.network.batch_loss(self.network(batch), batch)

    def compiled_step(self, loss: Callable[[Batch], torch.Tensor], batch: Batch) -> tuple[torch.Tensor]:
        """Take a training step with a compiled loss."""
        found = loss(batch)
        set_gradients(found, self.optimizer)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return (found.detach(),)

    def state(self) -> list[torch.Tensor]:
        moments = [tensor for each in self.optimizer.state.values() for tensor in each.values()]
        return [*self.network.parameters(), *moments]

    def __call__(self) -> float:
        """Take one training step and return its loss; so a GPU has finished."""
        return float(self.take(self.batch)[0])


def memory(which: str) -> float:
    """Read this process's memory in MiB: VmRSS is the present amount, VmHWM the peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(which))


def has_bfloat16(device: str) -> bool:
    """Check whether this CPU has native bfloat16; on a GPU ours uses bfloat16 anyway."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.is_file() else ""
    return device == "cpu" and any(flag in text for flag in ("avx512_bf16", "amx_bf16"))


def peak(name: str, arguments: argparse.Namespace) -> None:
    """Print the peak memory of one form beyond network and data, MiB: gradients, optimizer and activations."""
    form, cuda = Form(name, arguments), arguments.device == "cuda"
    before = torch.cuda.memory_allocated() / 2**20 if cuda else memory("VmRSS")
    for _ in range(2):
        form()
    print((torch.cuda.max_memory_allocated() / 2**20 if cuda else memory("VmHWM")) - before)


def matrix_rate() -> float:
    """Measure this GPU's own rate of bfloat16 matrix products, FLOP/s."""
    first, second = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for repeats in (5, 20):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(repeats):
            first @ second
        torch.cuda.synchronize()
    return repeats * 2 * 8192**3 / (time.perf_counter() - start)


def profiled(form: Form, device: str, *, by_name: bool) -> str:
    """Count the kernels of a step on a GPU and the time that they take together, or the operators on a CPU."""
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with profile(activities=kinds, acc_events=True) as profiler:
        form()
    if device == "cpu":
        return f"{sum(event.count for event in profiler.key_averages())} operators"
    events = [e for e in profiler.events() if e.device_type.name == "CUDA" and not e.name.startswith("Optimizer")]
    rows = defaultdict(list)
    for event in events:
        rows[event.name].append(event.time_range.elapsed_us() / 1e3)
    if by_name:
        for name, times in sorted(rows.items(), key=lambda row: -sum(row[1]))[:30]:
            print(f"    {sum(times):7.2f} ms {len(times):5d}  {name[:100]}")
    busy, end = 0.0, 0.0
    for event in sorted(events, key=lambda e: e.time_range.start):
        busy += max(0.0, event.time_range.end - max(end, event.time_range.start))
        end = max(end, event.time_range.end)
    return f"{len(events)} kernels, {sum(map(sum, rows.values())):.1f} ms together, GPU busy {busy / 1e3:.1f} ms"


def compare(arguments: argparse.Namespace) -> None:
    """Time the forms on equal networks and print the result."""
    cuda = arguments.device == "cuda"
    few = ["plain", "recorded", "compiled", "per-instance"] if cuda else ["plain", "per-instance"]
    few += ["bfloat16"] * has_bfloat16(arguments.device)
    few += ["whole"] * (not cuda and arguments.encoder == "small-cnn" and arguments.size <= SMALLEST)
    names = arguments.forms.split(",") if arguments.forms else few
    rate, forms, first, began = matrix_rate() if cuda else None, {}, {}, {}
    for name in names:
        start = time.perf_counter()
        forms[name] = Form(name, arguments)
        first[name] = [forms[name]() for _ in range(2)]
        began[name] = time.perf_counter() - start
        print(f"{name}: losses {first[name]}, ready after {began[name]:.1f} s", flush=True)
    exact = [first[name] for name in ("plain", "recorded") if name in first]
    if any(one != exact[0] for one in exact):
        sys.exit(f"FAULT: plain and recorded steps differ: {first}")
    for losses in first.values():
        if abs(losses[0] - first[names[0]][0]) > (0.1 if cuda or "bfloat16" in names else 1e-3) * losses[0]:
            sys.exit(f"the forms disagree: {first}")
    clock = time.process_time if not cuda and arguments.threads == 1 else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(arguments.rounds):
        for name, form in forms.items():
            start = clock()
            for _ in range(arguments.steps):
                form.take(form.batch)
            form()
            seconds[name].append((clock() - start) / (arguments.steps + 1))
    images = sum(int(mask.sum()) for mask in forms[names[0]].batch.mask.values())
    for name in names:
        one = statistics.median(seconds[name])
        parts = [f"{name}: {one * 1e3:.4g} ms a step of {images} images"]
        if "per-instance" in seconds and name != "per-instance":
            parts.append(f"{statistics.median(seconds['per-instance']) / one:.2f} times per-instance")
        if rate and arguments.encoder in FLOP and arguments.size == 224:
            parts.append(f"{3 * FLOP[arguments.encoder] * images / one / rate:.3f} of {rate / 1e12:.0f} TFLOP/s")
        if name != "per-instance":
            parts.append(profiled(forms[name], arguments.device, by_name=arguments.kernels))
        print(", ".join(parts), flush=True)
    forms.clear()
    for name in [name for name in names if name != "whole"] if arguments.peak else []:
        command = [sys.executable, *sys.argv, "--memory", name]
        most = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        print(f"{name}: peak memory {float(most):.0f} MiB beyond network and data", flush=True)


def main() -> None:
    """Run one case, or all cases, each in its own process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", choices=["small-cnn", "swin-b"], help="run only this case")
    parser.add_argument("--size", type=int, default=64, help="side of the images in pixels")
    parser.add_argument("--width", type=int, default=64, help="channels of the small encoder's map")
    parser.add_argument("--batch", type=int, default=8, help="patients in a step")
    parser.add_argument("--instances", type=int, default=10, help="maximum number of TEM images of a patient")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=3, help="steps in a round")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--forms", help="only these, with commas between")
    parser.add_argument("--kernels", action="store_true", help="print a GPU's time by kernel")
    parser.add_argument("--peak", action=argparse.BooleanOptionalAction, default=True, help="measure peak memory")
    parser.add_argument("--memory", help="run this form and print its peak memory")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    make_deterministic(arguments.device)
    if arguments.memory:
        peak(arguments.memory, arguments)
    elif arguments.encoder:
        compare(arguments)
    else:
        for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
            for name, options in CASES:
                print(f"-- {name}, {device}, {arguments.threads} thread", flush=True)
                command = [
                    sys.executable,
                    sys.argv[0],
                    *options,
                    *(ON_GPU if device == "cuda" else []),
                    f"--device={device}",
                    f"--threads={arguments.threads}",
                ]
                subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
