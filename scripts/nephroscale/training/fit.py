"""Training one network on one fold."""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING, Any

import torch
from blake3 import blake3

from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.models.batch import MODALITIES
from nephroscale.models.encoders.registry import describe_encoder
from nephroscale.models.losses import make_criterion
from nephroscale.models.registry import build
from nephroscale.models.weights import save_model
from nephroscale.training.checkpoint import Progress, copy_state, load_checkpoint, save_checkpoint
from nephroscale.training.data import Bag, digest_bags, holds_pixels, layouts_of, load_bags, thinned
from nephroscale.training.epoch import cosine_rate, make_optimizer, train_epoch, validate
from nephroscale.training.folds import read_fold
from nephroscale.training.missing import choose_cases
from nephroscale.training.precision import class_counts, prepare, read_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


def fit(  # noqa: PLR0917  (the stage's contract)
    folds: Mapping[str, Any],
    fold: str,
    features: Mapping[str, Mapping[str, Path]],
    model_settings: Mapping[str, Any],
    train_settings: Mapping[str, Any],
    seed: int,
    out: Path,
    work: Path,
    device: str = "cpu",
    log: Callable[[str], None] | None = None,
    negatives: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, Any]:
    """Train a network on a fold's training patients and keep the epoch that suits its validation patients best.

    Parameters
    ----------
    folds
        Content of `folds.json`.
    fold
        Name of the fold.
    features
        Patient id to modality to the Zarr group of the stage `features`; test patients' are never opened.
    model_settings
        An entry of `models` in the configuration; its `train` overrides `train_settings`.
    train_settings
        `train` of the configuration.
    seed
        Decides the first weights, the order of patients, flips and dropout.
    out
        Empty folder, or one to be made: gets `weights.safetensors`, `curve.json` and `model.json`.
    work
        Folder for the checkpoint; a training that was killed goes on from it and ends with the same bytes.
    device
        `cpu` or `cuda`.
    log
        Called with one line for each epoch.
    negatives
        Patient id to the slots of the IM panel whose markers were found negative and not photographed.

    Returns
    -------
    dict
        Figures for the receipt; `left_out` names the patients who lack what the network cannot do without.

    Raises
    ------
    Rejected
        When nobody of the training or the validation side has what the network needs.
    NephroscaleError
        When a patient is on two sides of the fold, lacks a modality unknown to the folds, or the loss stops being a
        number.
    """
    say = log or (lambda _line: None)
    _make_deterministic(device)
    settings = read_settings(train_settings, model_settings)
    split = read_fold(folds, fold)
    wanted = [name for name in MODALITIES if name in model_settings.get("modalities", MODALITIES)]
    training, validation = (
        load_bags(
            features,
            side,
            wanted,
            labels=split.labels,
            second=split.second,
            lacking=split.lacking,
            negatives=negatives,
            apart=split.test,
            maximum_instances=settings["maximum_instances"],
            seed=seed,
        )
        for side in (split.train, split.validation)
    )
    layouts = layouts_of([*training, *validation])
    shapes = {name: layout.shape for name, layout in layouts.items()}
    _check_kind(holds_pixels([*training, *validation]), bool(model_settings.get("encoder")))
    started = model_settings
    if model_settings.get("encoder"):
        model_settings = {**model_settings, "encoder": describe_encoder(model_settings["encoder"])}
    slots = max(layout.slots for layout in layouts.values())
    given = {"slots": slots} if slots > 1 else {}
    model_settings = {**model_settings, **given}

    torch.manual_seed(seed)
    network = build({**started, **given}, shapes, len(split.classes)).to(device)
    training, left_out = choose_cases(training, wanted, network)
    validation, left_out_too = choose_cases(validation, wanted, network)
    _check_cases(training, validation)
    network.criterion = make_criterion(
        settings["loss"],
        settings["class_weights"],
        counts=class_counts(training, len(split.classes)),
        gamma=settings["focal_gamma"],
        device=device,
    )
    prepare(network, settings)
    optimizer = make_optimizer(network, settings)
    identity = _identity([dict(model_settings), settings, split.classes, seed, device], training, validation)
    progress = load_checkpoint(work, identity, network, optimizer, say)

    while not _finished(progress, settings):
        epoch = len(progress.curve)
        rate = cosine_rate(epoch, settings)
        for group in optimizer.param_groups:
            group["lr"] = rate
        train_loss = train_epoch(
            network, optimizer, training, settings, seed=seed, epoch=epoch, device=device, layouts=layouts
        )
        loss, accuracy = validate(network, validation, settings, len(split.classes), device, layouts)
        if not math.isfinite(train_loss + loss):
            raise NephroscaleError(
                f"The loss stopped being a number in epoch {epoch + 1}.",
                where=f"fold {fold}, seed {seed}",
                todo="Lower train: learning_rate, and check that the features are finite.",
            )
        point = {
            "epoch": epoch + 1,
            "learning_rate": _rounded(rate),
            "train_loss": _rounded(train_loss),
            "validation_loss": _rounded(loss),
            "validation_balanced_accuracy": None if accuracy is None else _rounded(accuracy),
        }
        progress.curve.append(point)
        if loss < progress.best_loss:
            progress.best_epoch, progress.best_loss, progress.best = epoch, loss, copy_state(network)
        save_checkpoint(work, identity, network, optimizer, progress)
        say(
            f"epoch {epoch + 1} of {settings['epochs']}: training loss {train_loss:.4f}, validation loss {loss:.4f}"
            + ("" if accuracy is None else f", balanced accuracy {accuracy:.3f}")
        )

    best = progress.curve[progress.best_epoch]
    metadata = {
        "format": 1,
        "settings": dict(model_settings),
        "train": settings,
        "shapes": {name: list(shape) for name, shape in shapes.items()},
        "classes": split.classes,
        "modalities": wanted,
        "fold": fold,
        "seed": seed,
        "best_epoch": best["epoch"],
    }
    out.mkdir(parents=True, exist_ok=True)
    save_model(out, progress.best, metadata)
    (out / "curve.json").write_text(json.dumps(progress.curve, sort_keys=True, indent=1) + "\n")
    return {
        "epochs": len(progress.curve),
        "best_epoch": best["epoch"],
        "validation_loss": best["validation_loss"],
        "validation_balanced_accuracy": best["validation_balanced_accuracy"],
        "parameters": sum(p.numel() for p in network.parameters()),
        "train_patients": len(training),
        "validation_patients": len(validation),
        "thinned": thinned([*training, *validation]),
        **({"left_out": {**left_out, **left_out_too}} if left_out or left_out_too else {}),
    }


def _finished(progress: Progress, settings: Mapping[str, Any]) -> bool:
    done = len(progress.curve)
    return done >= settings["epochs"] or done - 1 - progress.best_epoch >= settings["patience"]


def _check_kind(pixels: Mapping[str, bool], encoder: bool) -> None:
    wrong = sorted(name for name, is_pixels in pixels.items() if is_pixels != encoder)
    if wrong:
        need = "pixels, to train an encoder on" if encoder else "feature maps"
        raise NephroscaleError(
            f"The model needs {need}, which the features of {', '.join(wrong)} are not.",
            where="models: encoder, and features: encoders",
            todo="Give the model an `encoder` exactly where the features' encoder is `pixels`.",
        )


def _check_cases(training: Sequence[Bag], validation: Sequence[Bag]) -> None:
    for side, bags in (("training", training), ("validation", validation)):
        if not bags:
            raise Rejected(f"no patient of the {side} side has what this network needs")


def _identity(facts: list[Any], training: Sequence[Bag], validation: Sequence[Bag]) -> str:
    hasher = blake3(json.dumps([*facts, torch.__version__, torch.get_num_threads()], sort_keys=True).encode())
    for side in (training, validation):
        hasher.update(b"side")
        digest_bags(side, hasher.update)
    return hasher.hexdigest()


def _make_deterministic(device: str) -> None:
    if device.startswith("cuda"):
        if not torch.cuda.is_available():
            raise NephroscaleError(
                "There is no GPU in this job.",
                where="compute: device: cuda",
                todo="Set it to cpu, or ask the cluster for a GPU.",
            )
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms would import the compiler


def _rounded(value: float) -> float:
    return float(f"{value:.8g}")
