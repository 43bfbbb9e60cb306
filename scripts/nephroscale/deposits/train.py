"""Training of one variant on one fold: the plain network, or an SVM on pooled features."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from nephroscale.deposits.images import ImageInstances, load_pictures
from nephroscale.deposits.settings import PLAIN, DepositsSettings
from nephroscale.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from nephroscale.deposits.backbone import Backbone
    from nephroscale.deposits.folds import DepositFolds
    from nephroscale.training.checkpoint import Checkpoint

WEIGHTS, CURVE, VALIDATION = "weights.safetensors", "curve.json", "validation.csv"


@dataclass(frozen=True)
class DepositSides:
    """Labelled pictures of the training and the validation side."""

    training: list[ImageInstances]
    validation: list[ImageInstances]


@dataclass(frozen=True)
class Task:
    """One training.

    Attributes
    ----------
    folds, fold
        The folds with readings, and which of them.
    site
        The site asked for, or `any`.
    variant
        One of `settings.variants`.
    seed
        Of the training.
    """

    folds: DepositFolds
    fold: str
    site: str
    variant: str
    seed: int


def load_sides(task: Task, bags: Mapping[str, Path], size_px: int) -> DepositSides:
    """Read the pictures of both sides.

    Raises
    ------
    Rejected
        When the training side has not both kinds of images, or the validation side has none.
    """
    found = {}
    for side in ("train", "validation"):
        patients = task.folds.side(task.fold, side)
        own = {patient: bags[patient] for patient in patients if patient in bags}
        found[side] = load_pictures(own, task.folds.labels(patients, task.site), size_px)
    labels = {picture.label for picture in found["train"]}
    if len(labels) < 2:
        kind = "with" if True in labels else "without"
        raise Rejected(
            f"all {len(found['train'])} labelled images of the training side are {kind} deposits; read images "
            f"{'without' if kind == 'with' else 'with'} deposits, too"
            if labels
            else "the training side has no labelled image; read more images"
        )
    if not found["validation"]:
        raise Rejected("the validation side has no labelled image; read images of more patients")
    return DepositSides(found["train"], found["validation"])


def train_deposits(
    task: Task,
    bags: Mapping[str, Path],
    settings: DepositsSettings,
    checkpoint: Checkpoint,
    *,
    out: Path,
    device: str = "cpu",
    log: Callable[[str], None] = lambda _line: None,
) -> dict[str, object]:
    """Train one variant on one fold, and predict its validation side.

    Parameters
    ----------
    task
        Which variant, site, fold and seed.
    bags
        Patient to the object of the stage `tem`, for patients of the training and validation side.
    settings
        Backbone and training; `backbone.weights` is the path to read.
    checkpoint
        Where a killed training of the plain network resumes.
    out
        Folder to make: `weights.safetensors` and `curve.json`, or `svm.safetensors` and `svm.json`; `validation.csv`.
    device
        `cpu` or `cuda`.
    log
        Receives a line for each epoch.

    Returns
    -------
    dict
        Numbers of images, and what was chosen.

    Raises
    ------
    Rejected
        When there are too few images or persons with or without deposits.
    """
    from nephroscale.deposits.backbone import pooled_features

    variant, seed = task.variant, task.seed
    sides = load_sides(task, bags, settings.backbone.size_px)
    backbone = make_backbone(settings, variant, seed)
    out.mkdir()
    if variant == PLAIN:
        from safetensors.torch import save_file

        from nephroscale.deposits.plain import fit_plain, predict

        network, curve, best = fit_plain(
            backbone, sides.training, sides.validation, settings, checkpoint, seed=seed, device=device, log=log
        )
        save_file({k: v.contiguous() for k, v in sorted(network.cpu().state_dict().items())}, out / WEIGHTS)
        (out / CURVE).write_text(
            json.dumps([asdict(point) for point in curve], indent=1, sort_keys=True) + "\n", encoding="utf-8"
        )
        probabilities = predict(network.to(device), sides.validation, device, settings.batch_size)
        figures: dict[str, object] = {"epochs": len(curve) - 1, "best_epoch": best}
    else:
        from nephroscale.deposits.svm import fit_svm

        features = join_stages(
            pooled_features(backbone, [*sides.training, *sides.validation], device, settings.batch_size), variant
        )
        count = len(sides.training)
        svm = fit_svm(
            features[:count],
            np.array([bool(picture.label) for picture in sides.training]),
            [task.folds.persons.get(picture.patient, picture.patient) for picture in sides.training],
            seed,
        )
        svm.save(out)
        probabilities = svm.probabilities(features[count:])
        figures = {
            "kernel": svm.parameters.kernel,
            "cost": svm.parameters.cost,
            "support_vectors": len(svm.weights),
            "features": features.shape[1],
        }
    _write_validation(out / VALIDATION, sides.validation, probabilities)
    return {
        "train_images": len(sides.training),
        "train_with_deposits": sum(bool(picture.label) for picture in sides.training),
        "validation_images": len(sides.validation),
        **figures,
    }


def make_backbone(settings: DepositsSettings, variant: str, seed: int) -> Backbone:
    """Make the network of a variant: pretrained, or with random weights by the seed."""
    import torch

    from nephroscale.deposits.backbone import Backbone

    torch.manual_seed(seed)
    return Backbone(settings.backbone, pretrained=variant != "svm-random-weights")


def join_stages(stages: Sequence[np.ndarray], variant: str) -> np.ndarray:
    """Join the pooled features of all stages, the skip connections; without them, those of the last stage alone."""
    return stages[-1] if variant == "svm-without-skips" else np.concatenate(stages, axis=1)


def read_validation(folder: Path) -> dict[str, tuple[bool, float]]:
    """Read image id to label and predicted probability, of the validation side."""
    with (folder / VALIDATION).open(encoding="utf-8", newline="") as file:
        return {row["image_id"]: (row["deposits"] == "1", float(row["probability"])) for row in csv.DictReader(file)}


def _write_validation(path: Path, pictures: Sequence[ImageInstances], probabilities: np.ndarray) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image_id", "deposits", "probability"])
        for picture, probability in zip(pictures, probabilities, strict=True):
            writer.writerow([picture.id, int(bool(picture.label)), f"{probability:.6f}"])
