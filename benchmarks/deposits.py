"""Features of deposits in bfloat16 compared with float32, and the time of the priors, in one run.

    python benchmarks/deposits.py [--images 180] [--size 112] [--rounds 3] [--device cpu]

Synthetic micrographs of patients with three images each; dark blots are deposits. Prints images per second of the
pooled features in float32 and in bfloat16 (`deposits.backbone.precision`), their ratio, and the largest difference of
the decision values of an SVM that was fitted on the float32 features, beside their spread. On a CPU without bfloat16 it
is emulated, so the ratio says nothing there. Then the CPU seconds of one `svm` training and of `fit_priors` on the same
images.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from nephroscale.arrays import write_arrays
from nephroscale.cohort.deposits import Deposits
from nephroscale.cohort.fold_table import FoldSides
from nephroscale.deposits.backbone import pooled_features
from nephroscale.deposits.folds import DepositFolds
from nephroscale.deposits.images import load_pictures
from nephroscale.deposits.priors import fit_priors
from nephroscale.deposits.settings import SVM, BackboneSettings, DepositsSettings
from nephroscale.deposits.svm import fit_svm
from nephroscale.deposits.train import Task, join_stages, make_backbone, train_deposits
from nephroscale.training.checkpoint import Checkpoint

EACH = 3  # images of a patient


def write_bags(folder: Path, patients: list[str], size: int) -> tuple[dict[str, Path], dict[str, dict[str, Deposits]]]:
    random = np.random.default_rng(0)
    bags, readings = {}, {}
    for number, patient in enumerate(patients):
        pixels = np.clip(random.normal(150, 20, (EACH, size, size)), 0, 255).astype(np.uint8)
        blots = [number % 2 == 0 and index < 2 for index in range(EACH)]
        for picture, blot in zip(pixels, blots, strict=True):
            y, x = random.integers(0, size * 3 // 4, 2)
            picture[y : y + size // 8, x : x + size // 8] = 60 if blot else 110
        names = [f"{patient}-{index}" for index in range(EACH)]
        whole = np.tile(np.array([0, 0, size, size], np.int32), (EACH, 1))
        arrays = {"images": pixels, "image": np.arange(EACH, dtype=np.int16), "box": whole, "valid": whole}
        write_arrays(folder / patient, arrays, {"images": names, "copies": {}})
        bags[patient] = folder / patient
        readings[patient] = {name: Deposits(blot) for name, blot in zip(names, blots, strict=True)}
    return bags, readings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=180)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    device = arguments.device
    settings = DepositsSettings(backbone=BackboneSettings(size_px=arguments.size))
    patients = [f"P{number:03d}" for number in range(arguments.images // EACH)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        bags, readings = write_bags(folder, patients, arguments.size)
        pictures = load_pictures(bags, None, arguments.size)
        backbones = {
            name: make_backbone(replace(settings, backbone=replace(settings.backbone, precision=name)), SVM, 0)
            for name in ("float32", "bfloat16")
        }
        seconds: dict[str, list[float]] = {name: [] for name in backbones}
        features = {}
        for _ in range(arguments.rounds):
            for name, measured in seconds.items():
                begun = time.process_time() if device == "cpu" else time.perf_counter()
                pooled = pooled_features(backbones[name], pictures, device, settings.batch_size)
                features[name] = join_stages(pooled, SVM)
                measured.append((time.process_time() if device == "cpu" else time.perf_counter()) - begun)
        labels = np.array([bool(readings[p.patient][p.id].at("any")) for p in pictures])
        svm = fit_svm(features["float32"], labels, [p.patient for p in pictures], 1)
        values = {name: svm.decision_values(found) for name, found in features.items()}
        rate = {name: len(pictures) / statistics.median(measured) for name, measured in seconds.items()}
        print(
            f"float32 {rate['float32']:.0f}, bfloat16 {rate['bfloat16']:.0f} images per second:"
            f" {rate['bfloat16'] / rate['float32']:.2f} times; largest difference of decision values"
            f" {np.abs(values['float32'] - values['bfloat16']).max():.4f}, their standard deviation"
            f" {values['float32'].std():.4f}"
        )
        cut = len(patients) * 4 // 5
        sides = FoldSides("0", tuple(patients[:cut]), tuple(patients[cut:]), ())
        task = Task(DepositFolds((sides,), readings, {}), "0", "any", SVM, 1)
        begun = time.process_time()
        train_deposits(task, bags, settings, Checkpoint(folder / "work", "one"), out=folder / "svm", device=device)
        trained = time.process_time()
        fit_priors(task, bags, settings, out=folder / "priors", device=device)
        print(f"svm {trained - begun:.1f} CPU seconds, priors {time.process_time() - trained:.1f}")


if __name__ == "__main__":
    main()
