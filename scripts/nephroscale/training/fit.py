"""Training of one network on one fold."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch

from nephroscale.errors import NephroscaleError, Rejected
from nephroscale.models.batch import MODALITIES
from nephroscale.models.encoders.registry import describe_encoder
from nephroscale.models.losses import make_criterion
from nephroscale.models.network import Network
from nephroscale.models.registry import build, config_of
from nephroscale.models.settings import ModelSettings
from nephroscale.models.weights import ModelCard, save_model
from nephroscale.training.channels import measure_channels
from nephroscale.training.checkpoint import Checkpoint, CurvePoint, TrainingProgress, copy_state
from nephroscale.training.data import Bag, Layout, class_counts, holds_pixels, layouts_of, thinned
from nephroscale.training.epoch import (
    Step,
    cosine_rate,
    set_rate,
    train_epoch,
    training_step,
    validate,
    validation_step,
)
from nephroscale.training.fold_data import FoldData
from nephroscale.training.missing import choose_cases
from nephroscale.training.optimizer import make_optimizer
from nephroscale.training.precision import has_encoder, make_deterministic, prepare
from nephroscale.training.recorded import Recorded
from nephroscale.training.settings import TrainSettings


@dataclass(frozen=True)
class Sides:
    """The patients whom a network is trained and validated on.

    Attributes
    ----------
    training, validation
        Their bags.
    layouts
        Layout of the bags of each modality.
    left_out
        Patient id to missing modalities, for patients who lack what the network needs.
    """

    training: list[Bag]
    validation: list[Bag]
    layouts: dict[str, Layout]
    left_out: dict[str, list[str]]


def fit(
    data: FoldData,
    model: ModelSettings,
    settings: TrainSettings,
    checkpoint: Checkpoint,
    *,
    seed: int,
    out: Path,
    device: str = "cpu",
    log: Callable[[str], None] = lambda _line: None,
) -> dict[str, object]:
    """Train a network on a fold's training patients and keep the epoch with the lowest validation loss.

    Parameters
    ----------
    data
        The fold and the features of its patients; those of test patients are never opened.
    model
        The network; its `train` overrides keys of `settings`.
    settings
        Of the training.
    checkpoint
        Where a killed training resumes, with the same bytes at the end.
    seed
        Decides the initial weights, the order of patients, flips and dropout.
    out
        Empty folder, or one to be created, for `weights.safetensors`, `curve.json` and `model.json`.
    device
        `cpu` or `cuda`.
    log
        Receives one line for each epoch.

    Returns
    -------
    dict
        Figures for the receipt; `left_out` names patients who lack what the network needs.

    Raises
    ------
    Rejected
        When no patient of the training or the validation side has what the network needs, or no training patient has
        features of one of its modalities.
    NephroscaleError
        When a patient is on two sides of the fold, has no features of a modality and is not known to lack it, or the
        loss is not finite.
    """
    make_deterministic(device)
    settings = model.training(settings)
    sides = _open_sides(data, model, settings, seed)
    shapes = {name: layout.shape for name, layout in sides.layouts.items()}
    slots = max(1, *(layout.slots for layout in sides.layouts.values()))

    standardise = settings.standardise and not model.options.get("encoder")

    torch.manual_seed(seed)
    network = build(model, shapes, len(data.classes), slots=slots, standardise=standardise)
    sides = _choose_cases(sides, network)
    if network.standardisation is not None:
        network.standardisation.set({name: measure_channels(sides.training, name) for name in shapes})
    network.to(device)
    network.criterion = make_criterion(
        settings.loss,
        settings.class_weights,
        counts=class_counts(sides.training, len(data.classes)),
        gamma=settings.focal_gamma,
        device=device,
    )
    images = sum(int(content.mask.sum()) for bag in sides.training for content in bag.modalities.values())
    prepare(network, settings, images=settings.epochs * images)
    progress = _train(network, sides, settings, checkpoint, seed=seed, device=device, log=log)

    best = progress.curve[progress.best_epoch]
    card = ModelCard(
        settings=_described(model),
        shapes=shapes,
        slots=slots,
        classes=data.classes,
        fold=data.name,
        seed=seed,
        best_epoch=best.epoch,
        max_tem_instances=settings.max_tem_instances,
        modality_dropout=settings.modality_dropout or 0.0,
        standardised=standardise,
    )
    out.mkdir(parents=True, exist_ok=True)
    save_model(out, progress.best, card)
    curve = [asdict(point) for point in progress.curve]
    (out / "curve.json").write_text(json.dumps(curve, sort_keys=True, indent=1) + "\n", encoding="utf-8")
    return {
        "epochs": len(curve),
        "best_epoch": best.epoch,
        "validation_loss": best.validation_loss,
        "validation_balanced_accuracy": best.validation_balanced_accuracy,
        "parameters": sum(p.numel() for p in network.parameters()),
        "train_patients": len(sides.training),
        "validation_patients": len(sides.validation),
        "thinned": thinned([*sides.training, *sides.validation]),
        **({"left_out": sides.left_out} if sides.left_out else {}),
    }


def _open_sides(data: FoldData, model: ModelSettings, settings: TrainSettings, seed: int) -> Sides:
    """Open the bags of the training and the validation side, and check that they suit the model."""
    modalities = [name for name in MODALITIES if name in model.modalities]
    most = settings.max_tem_instances
    training = data.bags("train", modalities, max_tem_instances=most, seed=seed)
    validation = data.bags("validation", modalities, max_tem_instances=most, seed=seed)
    _check_kind(holds_pixels([*training, *validation]), encoder=bool(model.options.get("encoder")))
    if unseen := [name for name in modalities if not any(name in bag.modalities for bag in training)]:
        raise Rejected(f"no training patient has {' or '.join(unseen)} features, and the model would not learn them")
    return Sides(training, validation, layouts_of([*training, *validation]), {})


def _choose_cases(sides: Sides, network: Network) -> Sides:
    """Keep the patients who have what the network needs, and check that each side has some."""
    modalities = list(sides.layouts)
    training, left_out = choose_cases(sides.training, modalities, network)
    validation, also_left_out = choose_cases(sides.validation, modalities, network)
    for side, bags in (("training", training), ("validation", validation)):
        if not bags:
            raise Rejected(f"no {side} patient has all modalities that the model requires")
    return replace(sides, training=training, validation=validation, left_out={**left_out, **also_left_out})


def _train(
    network: Network,
    sides: Sides,
    settings: TrainSettings,
    checkpoint: Checkpoint,
    *,
    seed: int,
    device: str,
    log: Callable[[str], None],
) -> TrainingProgress:
    """Train epoch by epoch from the last checkpoint on, until the last epoch or until patience ends."""
    optimizer = make_optimizer(network, settings)
    progress = checkpoint.load(network, optimizer, log)
    learn, check, layouts = make_steps(network, optimizer, sides, settings)
    while not _finished(progress, settings):
        epoch = len(progress.curve)
        set_rate(optimizer, rate := cosine_rate(epoch, settings))
        train_loss = train_epoch(
            network,
            optimizer,
            sides.training,
            settings,
            seed=seed,
            epoch=epoch,
            device=device,
            layouts=layouts,
            step=learn,
        )
        loss, accuracy = validate(network, sides.validation, settings, device=device, layouts=layouts, step=check)
        if not math.isfinite(train_loss + loss):
            raise NephroscaleError(
                f"The loss is not finite in epoch {epoch + 1}.",
                where=f"training with seed {seed}",
                fix="Lower train: learning_rate, and check that the features are finite.",
            )
        accuracy = None if accuracy is None else _rounded(accuracy)
        progress.curve.append(CurvePoint(epoch + 1, _rounded(rate), _rounded(train_loss), _rounded(loss), accuracy))
        if loss < progress.best_loss:
            progress.best_epoch, progress.best_loss, progress.best = epoch, loss, copy_state(network)
        checkpoint.save(network, optimizer, progress)
        log(f"epoch {epoch + 1} of {settings.epochs}: training loss {train_loss:.4f}, validation loss {loss:.4f}")
    return progress


def make_steps(
    network: Network, optimizer: torch.optim.Optimizer, sides: Sides, settings: TrainSettings
) -> tuple[Step | None, Step | None, dict[str, Layout]]:
    """Record the steps of training and validation on a GPU, where bags get equal numbers of slots for it."""
    if not (network.recordable and settings.record and next(network.parameters()).is_cuda):
        return None, None, sides.layouts
    bags = [*sides.training, *sides.validation]
    layouts = {
        name: replace(
            layout, slots=max([layout.slots, *(len(b.modalities[name].rows) for b in bags if name in b.modalities)])
        )
        for name, layout in sides.layouts.items()
    }

    def state() -> list[torch.Tensor]:
        moments = [tensor for each in optimizer.state.values() for tensor in each.values()]
        return [*network.parameters(), *network.buffers(), *moments]

    encodes = has_encoder(network)
    learn = Recorded(partial(training_step, network, optimizer, settings), state, encodes=encodes)
    return learn, Recorded(partial(validation_step, network, settings), encodes=encodes), layouts


def _finished(progress: TrainingProgress, settings: TrainSettings) -> bool:
    done = len(progress.curve)
    return done >= settings.epochs or done - 1 - progress.best_epoch >= settings.patience


def _described(model: ModelSettings) -> ModelSettings:
    """Describe a model for `model.json`: with every key of its family, and its encoder without a path to weights."""
    options = config_of(model.family).from_mapping(model.options)
    encoder = getattr(options, "encoder", None)
    described = {"encoder": describe_encoder(encoder)} if encoder else {}
    return replace(model, options={**options.to_mapping(), **described}, train={})


def _check_kind(pixels: Mapping[str, bool], *, encoder: bool) -> None:
    if wrong := sorted(name for name, is_pixels in pixels.items() if is_pixels != encoder):
        need = "pixels, to train an encoder on" if encoder else "feature maps"
        raise NephroscaleError(
            f"The model needs {need}, which the features of {', '.join(wrong)} are not.",
            where="models: encoder, and features: encoders",
            fix="Set the model's `encoder` if, and only if, the features' encoder is `pixels`.",
        )


def _rounded(value: float) -> float:
    return float(f"{value:.8g}")
