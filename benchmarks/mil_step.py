"""Training steps per second of CMUS-Net: one padded, masked forward pass compared with the per-instance form.

    python benchmarks/mil_step.py [--encoder small-cnn|swin-b] [--size 64] [--batch 8] [--rounds 7] [--device cuda]

Without `--encoder` every case is run, on the CPU and, where there is one, on a GPU. The two forms are
in tests/support/mil_step.py. Both forms train the same network with the same loss, and their losses are
compared before anything is timed. Rounds are interleaved; printed are medians, their ratio and the peak memory of a
process that runs one form alone. One thread of a CPU is timed by its own clock, so that other work on the machine
matters less. `swin-b` is Swin-B with fresh weights and without stochastic depth, three of them; a step on a CPU takes
long, so its batch is small there.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from nephroscale.training.precision import autocast
from support.mil_step import per_instance, prepare

if TYPE_CHECKING:
    from nephroscale.models.batch import Batch
    from nephroscale.models.cmusnet import CMUSNet

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


def forward(form: str, network: CMUSNet, batch: Batch) -> torch.Tensor:
    """Compute the loss; ours in the training precision of this device, or in bfloat16."""
    device = batch.labels.device.type
    precision = {"ours": "auto", "ours in bfloat16": "bfloat16", "per-instance": "float32"}[form]
    with autocast(device, precision):
        return network.loss(per_instance(network, batch) if form == "per-instance" else network(batch), batch.labels)


def step(form: str, network: CMUSNet, optimizer: torch.optim.Optimizer, batch: Batch) -> float:
    """Take one training step and return its loss."""
    optimizer.zero_grad(set_to_none=True)
    loss = forward(form, network, batch)
    loss.backward()
    optimizer.step()
    return loss.item()


def memory(which: str) -> float:
    """Read this process's memory in MiB: VmRSS is the present amount, VmHWM the peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(which))


def has_bfloat16(device: str) -> bool:
    """Check whether this CPU has native bfloat16; on a GPU ours uses bfloat16 anyway."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.is_file() else ""
    return device == "cpu" and any(flag in text for flag in ("avx512_bf16", "amx_bf16"))


def peak(form: str, arguments: argparse.Namespace) -> None:
    """Print the peak memory of one form beyond network and data, MiB: gradients, optimizer and activations."""
    state, cuda = prepare(arguments), arguments.device == "cuda"
    before = torch.cuda.memory_allocated() / 2**20 if cuda else memory("VmRSS")
    for _ in range(2):
        step(form, *state)
    print((torch.cuda.max_memory_allocated() / 2**20 if cuda else memory("VmHWM")) - before)


def compare(arguments: argparse.Namespace) -> None:
    """Time both forms on one network and print the result."""
    state = prepare(arguments)
    forms = ["ours", *(["ours in bfloat16"] if has_bfloat16(arguments.device) else []), "per-instance"]
    with torch.no_grad():
        first = {form: forward(form, state[0], state[2]).item() for form in forms}
    for form in forms[:-1]:
        exact = form == "ours" and arguments.device == "cpu"
        if abs(first[form] - first["per-instance"]) > (1e-3 if exact else 0.1) * first["per-instance"]:
            sys.exit(f"the forms disagree: {first}")
    for form in forms:
        step(form, *state)
    clock = time.process_time if arguments.device == "cpu" and arguments.threads == 1 else time.perf_counter
    seconds: dict[str, list[float]] = {form: [] for form in forms}
    for _ in range(arguments.rounds):
        for form in forms:
            start = clock()
            for _ in range(arguments.steps):
                step(form, *state)  # ends with the loss on the host, so that a GPU has finished
            seconds[form].append((clock() - start) / arguments.steps)
    del state
    rate = {form: 1 / statistics.median(times) for form, times in seconds.items()}
    for form in forms:
        command = [sys.executable, *sys.argv, "--memory", form]
        most = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        ratio = "" if form == "per-instance" else f", {rate[form] / rate['per-instance']:.2f} times per-instance"
        print(f"{form}: {rate[form]:.3g} steps/s{ratio}, peak memory {float(most):.0f} MiB beyond network and data")
    ratios = (f"{rate[form] / rate['per-instance']:.2f} ({form})" for form in forms[:-1])
    print(f"ratio: {', '.join(ratios)}", flush=True)


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
    parser.add_argument("--memory", help="run this form and print its peak memory")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
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
