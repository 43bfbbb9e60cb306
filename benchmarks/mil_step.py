"""Training steps per second of CMUS-Net: one padded, masked forward pass, against the per-instance form.

    python benchmarks/mil_step.py [--encoder small-cnn|swin-b] [--size 64] [--batch 8] [--rounds 7] [--device cuda]

Without `--encoder` every case is run, on the CPU and, where there is one, on a GPU. The per-instance form is what
fault 5 of the released code describes: encoders run one image at a time, distances are computed in NumPy, instance by
instance, and patients follow one another. Both forms train the same network with the same loss, and their losses are
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
from typing import Any

import numpy as np
import torch

from nephroscale.models.batch import Batch, Output
from nephroscale.models.cmusnet import CMUSNet
from nephroscale.training.epoch import make_optimizer
from nephroscale.training.precision import DEFAULTS, autocast
from nephroscale.training.precision import prepare as prepare_network

TRAIN = {"learning_rate": 5e-5, "weight_decay": 5e-5}
SEED = 0
SWIN_B = {
    "embed_dim": 128,
    "depths": [2, 2, 18, 2],
    "num_heads": [4, 8, 16, 32],
    "image_size": 224,
    "window_size": 7,
    "drop_path_rate": 0.0,
}
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


def per_instance(network: CMUSNet, batch: Batch) -> Output:
    """Patient by patient, image by image, distances in NumPy."""
    logits: dict[str, list[torch.Tensor]] = {name: [] for name in ("TEM", "OM", "IM", "fusion")}
    for i in range(len(batch)):
        maps = []
        for pixels in batch.features["TEM"][i][batch.mask["TEM"][i]]:
            maps.append(network.encoders["TEM"](pixels[None]).float())  # noqa: PERF401  (the form under test)
        flat = np.stack([m.detach().cpu().numpy().ravel() for m in maps]).astype(np.float64)  # waits for each
        flat = (flat - flat.min()) / (flat.max() - flat.min())
        distances = np.stack([np.sqrt(((flat - instance) ** 2).sum(1)) for instance in flat])
        centre = int(distances.sum(1).argmin())
        mean = distances.sum() / (len(flat) * (len(flat) - 1))
        kept = [j for j in range(len(flat)) if distances[centre, j] <= network.smil.threshold * mean]  # type: ignore[union-attr]
        nearness = {j: 1 / (distances[centre, j] + 1e-8) for j in kept if j != centre}
        least, most = min(nearness.values()), max(nearness.values())
        weight = {j: (value - least) / (most - least) for j, value in nearness.items()} | {centre: 1.0}
        tem = torch.stack([maps[j] * weight[j] for j in kept]).sum(0)
        seen = {"TEM": tem}
        for name in ("OM", "IM"):
            other = network.encoders[name](batch.features[name][i]).float()
            seen[name] = other + network.attention(tem, other, need_attention=True)[0]  # type: ignore[misc]
        pooled = {name: value.mean((1, 2)) for name, value in seen.items()}
        for name, value in pooled.items():
            logits[name].append(network.branches[name](value))
        logits["fusion"].append(network.fusion(torch.cat(list(pooled.values()), -1)))
    return Output({name: torch.cat(value) for name, value in logits.items()})


def patients(size: int, batch: int, instances: int) -> Batch:
    """Random patients with bags of up to `instances`, as ragged as real ones."""
    generator = torch.Generator().manual_seed(SEED)
    lengths = torch.randint(max(3, instances // 2), instances + 1, (batch,), generator=generator)
    lengths[0] = instances
    features, masks = {}, {}
    for name in ("TEM", "OM", "IM"):
        n = instances if name == "TEM" else 1
        masks[name] = torch.arange(n) < (lengths[:, None] if name == "TEM" else 1)
        masks[name] = masks[name].expand(batch, n)
        pixels = torch.randint(0, 256, (batch, n, size, size, 3), generator=generator, dtype=torch.uint8)
        features[name] = pixels * masks[name][:, :, None, None, None]
    return Batch.of(features, masks, torch.randint(0, 3, (batch,), generator=generator))


def encoder_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Say which encoder is trained."""
    if arguments.encoder == "small-cnn":
        return {"name": "small-cnn", "width": arguments.width}
    layout = {"kind": "swin", "layout": SWIN_B, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    return {"name": arguments.encoder, "layout": layout}


def prepare(arguments: argparse.Namespace) -> tuple[CMUSNet, torch.optim.Optimizer, Batch]:
    """Make a network, its optimizer and a batch, equal each time."""
    torch.manual_seed(SEED)
    shape = (arguments.size, arguments.size, 3)
    shapes = dict.fromkeys(("TEM", "OM", "IM"), shape)
    network = CMUSNet(shapes, 3, encoder=encoder_settings(arguments), dropout=0.0).to(arguments.device)
    prepare_network(network, DEFAULTS)
    batch = patients(arguments.size, arguments.batch, arguments.instances)
    return network, make_optimizer(network, TRAIN), batch.to(arguments.device)


def forward(form: str, network: CMUSNet, batch: Batch) -> torch.Tensor:
    """Give the loss; ours in the precision that training has on this device, or in bfloat16."""
    device = batch.labels.device.type
    precision = {"ours": "auto", "ours in bfloat16": "bfloat16", "per-instance": "float32"}[form]
    with autocast(device, precision):
        return network.loss(per_instance(network, batch) if form == "per-instance" else network(batch), batch.labels)


def step(form: str, network: CMUSNet, optimizer: torch.optim.Optimizer, batch: Batch) -> float:
    """Take one training step; give its loss."""
    optimizer.zero_grad(set_to_none=True)
    loss = forward(form, network, batch)
    loss.backward()
    optimizer.step()
    return loss.item()


def memory(which: str) -> float:
    """Read this process's memory in MiB: VmRSS is what it has, VmHWM the most it had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(which))


def has_bfloat16(device: str) -> bool:
    """Whether this CPU computes in bfloat16 of its own; on a GPU ours does so anyway."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.is_file() else ""
    return device == "cpu" and any(flag in text for flag in ("avx512_bf16", "amx_bf16"))


def peak(form: str, arguments: argparse.Namespace) -> None:
    """Print the peak memory of one form beyond network and data, MiB: gradients, optimizer and what a step holds."""
    state, cuda = prepare(arguments), arguments.device == "cuda"
    before = torch.cuda.memory_allocated() / 2**20 if cuda else memory("VmRSS")
    for _ in range(2):
        step(form, *state)
    print((torch.cuda.max_memory_allocated() / 2**20 if cuda else memory("VmHWM")) - before)


def compare(arguments: argparse.Namespace) -> None:
    """Time the forms on one network, and print what came out."""
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
    """Run one case, or all of them, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", choices=["small-cnn", "swin-b"], help="one case alone")
    parser.add_argument("--size", type=int, default=64, help="side of the images in pixels")
    parser.add_argument("--width", type=int, default=64, help="channels of the small encoder's map")
    parser.add_argument("--batch", type=int, default=8, help="patients in a step")
    parser.add_argument("--instances", type=int, default=10, help="most TEM images of a patient")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=3, help="steps in a round")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--memory", help="run one form and print its peak memory")
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
