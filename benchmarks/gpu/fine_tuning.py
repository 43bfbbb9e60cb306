"""Fine-tuning on a GPU: rounding, equal bytes from run to run and after a resume, and how busy the GPU is.

    python benchmarks/gpu/fine_tuning.py [--device cuda] [--patients 64] [--epochs 2]

First a small encoder: loss and gradients of a fixed batch in bfloat16 are compared with float32, and recorded steps,
plain steps, a second run and a run that is ended after an epoch and resumed have to write equal bytes. Then Swin-B with
random weights on images of 224 px: the time in which a kernel runs, as a fraction of the training's time, reading and
copying included.
"""

import argparse
import sys
import tempfile
import time
from argparse import Namespace
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from nephroscale.training import epoch as epochs
from nephroscale.training import fit as fitting
from nephroscale.training.data import BagSource, layouts_of
from nephroscale.training.precision import make_deterministic
from nephroscale.training.settings import PAPER, TrainSettings
from support.mil_step import prepare, rounding
from support.stored_features import Cohort, write_bag
from support.training import train_fold, trained_files

MOST_ROUNDING = {"loss": 0.004, "gradient": 0.1}
"""One rounding of a value to bfloat16 changes it by up to 0.004; a gradient has passed through many."""
SMALL = {"encoder": {"name": "small-cnn", "width": 16}}


class EndedError(Exception):
    """The training is ended from outside."""


def check_bytes(folder: Path, device: str, *, pixels: bool) -> bool:
    """Train in four ways and compare the files."""
    cohort = Cohort(folder / "cohort", pixels=pixels)
    model = SMALL if pixels else {}
    settings = {"epochs": 4, "batch_size": 4, "learning_rate": 1e-3}
    files = {}
    for way, changes in {"recorded": {}, "again": {}, "plain": {"record": False}}.items():
        train_fold(cohort, folder / way, model, {**settings, **changes}, device=device)
        files[way] = trained_files(folder / way)

    def stop(line: str) -> None:
        if line.startswith("epoch 2"):
            raise EndedError

    lines: list[str] = []
    try:
        train_fold(cohort, folder / "resumed", model, settings, device=device, log=stop)
    except EndedError:
        train_fold(cohort, folder / "resumed", model, settings, device=device, log=lines.append)
    assert lines[0] == "Resuming after epoch 2.", lines
    files["resumed"] = trained_files(folder / "resumed")
    names = ("weights.safetensors", "curve.json")
    for way, written in files.items():
        equal = all(written[name] == files["recorded"][name] for name in names)
        print(f"{'pixels' if pixels else 'features'}, {way}: {'equal' if equal else 'DIFFERENT'}", flush=True)
    return all(written[name] == files["recorded"][name] for written in files.values() for name in names)


def check_rounding(device: str) -> bool:
    """Compare loss and gradients of a fixed batch in bfloat16 with those in float32."""
    within = True
    for size, width in ((28, 16), (56, 32)):
        found = dict(zip(MOST_ROUNDING, rounding(device, size, width), strict=True))
        within &= all(0 < found[name] < most for name, most in MOST_ROUNDING.items())
        print(f"bfloat16 against float32, {size} px: {found}, allowed {MOST_ROUNDING}", flush=True)
    return within


def measure_busy(folder: Path, patients: int, epochs_: int) -> None:
    """Train Swin-B and print the share of the time in which the GPU computes."""
    generator, bags = np.random.default_rng(0), {}
    for i in range(patients):
        for name in ("TEM", "OM", "IM"):
            count = int(generator.integers(5, 11)) if name == "TEM" else 1
            pixels = generator.integers(0, 256, (count, 224, 224, 3), np.uint8)
            bags.setdefault(f"P{i:03d}", {})[name] = write_bag(folder / f"P{i:03d}" / f"{name}.zarr", pixels, name)
    source = BagSource(bags, {patient: i % 3 for i, patient in enumerate(bags)})
    opened = source.open(bags, ("TEM", "OM", "IM"))
    settings = TrainSettings.from_mapping({**PAPER, "batch_size": 8, "epochs": epochs_})
    network, optimizer, _ = prepare(Namespace(encoder="swin-b", size=224, batch=1, instances=3, device="cuda"))
    sides = fitting.Sides(opened, opened[:8], layouts_of(opened), {})
    learn, _, layouts = fitting.make_steps(network, optimizer, sides, settings)
    for epoch in range(epochs_):
        torch.cuda.synchronize()
        start = time.perf_counter()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA], acc_events=True) as profiler:
            epochs.train_epoch(
                network, optimizer, opened, settings, seed=0, epoch=epoch, device="cuda", layouts=layouts, step=learn
            )
            torch.cuda.synchronize()
            wall = time.perf_counter() - start
        busy, end = 0.0, 0.0
        for event in sorted(profiler.events(), key=lambda e: e.time_range.start):
            if event.device_type.name == "CUDA":
                busy += max(0.0, event.time_range.end - max(end, event.time_range.start))
                end = max(end, event.time_range.end)
        print(f"Swin-B, epoch {epoch + 1}: {wall:.2f} s, GPU busy {busy / 1e6 / wall:.2f}", flush=True)


def main() -> None:
    """Check the rounding and the bytes, then measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--patients", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=4)
    arguments = parser.parse_args()
    make_deterministic(arguments.device)
    within = check_rounding(arguments.device)
    with tempfile.TemporaryDirectory() as folder:
        equal = [check_bytes(Path(folder) / str(p), arguments.device, pixels=p) for p in (True, False)]
        if arguments.device == "cuda":
            measure_busy(Path(folder) / "swin", arguments.patients, arguments.epochs)
    if not within:
        sys.exit("bfloat16 differs from float32 by more than its rounding")
    sys.exit(0 if all(equal) else "the trainings differ")


if __name__ == "__main__":
    main()
