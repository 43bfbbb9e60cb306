"""Training steps per second of CMUS-Net: one padded, masked forward pass, against the per-instance form.

    python benchmarks/mil_step.py [--size 64] [--batch 8] [--rounds 7]

The per-instance form is what fault 5 of the released code describes: encoders run one image at a time, distances are
computed in NumPy, instance by instance, and patients follow one another. Both forms share their weights, encoders and
loss, and their first losses are compared before anything is timed. Rounds are interleaved; printed are medians, their
ratio and the peak memory of a process that runs one form alone.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from nephroscale.models.batch import Batch, Output
from nephroscale.models.cmusnet import CMUSNet
from nephroscale.training.fit import make_optimizer

TRAIN = {"learning_rate": 5e-5, "weight_decay": 5e-5}
SEED = 0


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


def prepare(arguments: argparse.Namespace) -> tuple[CMUSNet, torch.optim.Optimizer, Batch]:
    """Make a network, its optimizer and a batch, equal each time."""
    torch.manual_seed(SEED)
    shape = (arguments.size, arguments.size, 3)
    network = CMUSNet(dict.fromkeys(("TEM", "OM", "IM"), shape), 3, encoder={"width": arguments.width}, dropout=0.0)
    batch = patients(arguments.size, arguments.batch, arguments.instances)
    return network.to(arguments.device), make_optimizer(network, TRAIN), batch.to(arguments.device)


def step(form: str, network: CMUSNet, optimizer: torch.optim.Optimizer, batch: Batch) -> float:
    """Take one training step; give its loss."""
    ours, cuda = form == "ours", batch.labels.is_cuda
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast("cuda" if cuda else "cpu", torch.bfloat16, enabled=ours and cuda):
        output = network(batch) if ours else per_instance(network, batch)
        loss = network.loss(output, batch.labels)
    loss.backward()
    optimizer.step()
    return loss.item()


def memory(which: str) -> float:
    """Read this process's memory in MiB: VmRSS is what it has, VmHWM the most it had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(which))


def main() -> None:
    """Time both forms and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64, help="side of the images in pixels")
    parser.add_argument("--width", type=int, default=64, help="channels of the encoder's map")
    parser.add_argument("--batch", type=int, default=8, help="patients in a step")
    parser.add_argument("--instances", type=int, default=10, help="most TEM images of a patient")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=3, help="steps in a round")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--memory", choices=["ours", "per-instance"], help="run one form and print its peak memory")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    if arguments.memory:
        state = prepare(arguments)
        before = memory("VmRSS")
        for _ in range(2):
            step(arguments.memory, *state)
        print(torch.cuda.max_memory_allocated() / 2**20 if arguments.device == "cuda" else memory("VmHWM") - before)
        return

    states = {form: prepare(arguments) for form in ("ours", "per-instance")}
    first = {form: step(form, *state) for form, state in states.items()}
    if abs(first["ours"] - first["per-instance"]) > (1e-3 if arguments.device == "cpu" else 0.05) * first["ours"]:
        sys.exit(f"the two forms disagree: {first}")
    seconds: dict[str, list[float]] = {form: [] for form in states}
    for _ in range(arguments.rounds):
        for form, state in states.items():
            start = time.perf_counter()
            for _ in range(arguments.steps):
                step(form, *state)  # ends with the loss on the host, so that a GPU has finished
            seconds[form].append((time.perf_counter() - start) / arguments.steps)

    rate = {form: 1 / statistics.median(times) for form, times in seconds.items()}
    for form in states:
        peak = subprocess.run(
            [sys.executable, *sys.argv, "--memory", form], capture_output=True, text=True, check=True
        ).stdout
        print(f"{form}: {rate[form]:.2f} steps/s, peak memory {float(peak):.0f} MiB beyond network and data")
    print(f"ratio: {rate['ours'] / rate['per-instance']:.2f}")


if __name__ == "__main__":
    main()
