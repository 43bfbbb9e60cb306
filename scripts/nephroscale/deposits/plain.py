"""The plain network: a pretrained network with a new head, which is trained first, then all layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from blake3 import blake3
from torch import Tensor, nn
from torch.nn import functional

from nephroscale.deposits.backbone import Backbone
from nephroscale.deposits.images import ImageInstances, InstanceSequence
from nephroscale.deposits.settings import DepositsSettings
from nephroscale.deposits.svm import log_loss
from nephroscale.errors import NephroscaleError
from nephroscale.training.checkpoint import Checkpoint, CurvePoint, TrainingProgress, copy_state

HEAD_RATE, WEIGHT_DECAY, DROPOUT = 1e-2, 1e-2, 0.2


class PlainNetwork(nn.Module):
    """A backbone and a linear head on the mean of its last stage.

    Parameters
    ----------
    backbone
        The network.
    channels
        Channels of its last stage.
    """

    def __init__(self, backbone: Backbone, channels: int) -> None:
        super().__init__()
        self.backbone, self.dropout, self.head = backbone, nn.Dropout(DROPOUT), nn.Linear(channels, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Give the logit [n] of images [n, S, S] uint8."""
        return self.classify(self.backbone.pooled(pixels)[-1])

    def classify(self, pooled: Tensor) -> Tensor:
        """Give the logit [n] of pooled maps [n, C]."""
        logits: Tensor = self.head(self.dropout(pooled))[:, 0]
        return logits


class Items(NamedTuple):
    """All instances of pictures, and label and weight [m] of each; the weights of a picture sum to 1."""

    instances: InstanceSequence
    labels: np.ndarray
    weights: np.ndarray


def list_items(pictures: Sequence[ImageInstances]) -> Items:
    """Put the instances of pictures one after another."""
    instances = InstanceSequence(pictures)
    return Items(
        instances,
        np.array([bool(picture.label) for picture in pictures])[instances.owner],
        (1 / instances.counts)[instances.owner],
    )


def predict(network: PlainNetwork, pictures: Sequence[ImageInstances], device: str, batch_size: int) -> np.ndarray:
    """Give the probability [pictures] of deposits: the mean over a picture's instances."""
    items = list_items(pictures)
    found = _instance_probabilities(network, items, device, batch_size)
    return np.bincount(items.instances.owner, found * items.weights, len(pictures))


def fit_plain(
    backbone: Backbone,
    training: Sequence[ImageInstances],
    validation: Sequence[ImageInstances],
    settings: DepositsSettings,
    checkpoint: Checkpoint,
    *,
    seed: int,
    device: str,
    log: Callable[[str], None],
) -> tuple[PlainNetwork, list[CurvePoint], int]:
    """Train the head, then all layers, and keep the epoch of the lowest validation loss.

    Parameters
    ----------
    backbone
        The pretrained network.
    training, validation
        Labelled pictures of other patients each.
    settings
        Steps of the head; epochs, learning rate and batch size of the rest.
    checkpoint
        Where a killed training resumes.
    seed
        Decides first weights, order, flips and dropout.
    device
        `cpu` or `cuda`.
    log
        Receives one line for each epoch.

    Returns
    -------
    tuple
        The network with its best weights; the curve, whose first point is the trained head alone; the best epoch,
        counted from 0 for the head.
    """
    torch.set_deterministic_debug_mode("error")
    items = list_items(training)
    truth = np.array([bool(picture.label) for picture in validation])
    network = _with_head(backbone, items, settings, seed=seed, device=device)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=WEIGHT_DECAY, fused=True
    )
    progress = checkpoint.load(network, optimizer, log)

    def score(epoch: int, rate: float, loss: float) -> None:
        found = predict(network, validation, device, settings.batch_size)
        _note(progress, CurvePoint(epoch, rate, _rounded(loss), _rounded(log_loss(truth, found)), None), network)
        checkpoint.save(network, optimizer, progress)
        log(f"epoch {epoch} of {settings.epochs}: training loss {loss:.4f}, best validation {progress.best_loss:.4f}")

    if not progress.curve:
        score(
            0, HEAD_RATE, log_loss(items.labels, _instance_probabilities(network, items, device, settings.batch_size))
        )
    while len(progress.curve) <= settings.epochs:
        epoch = len(progress.curve)
        rate = settings.learning_rate * (1 + math.cos(math.pi * (epoch - 1) / settings.epochs)) / 2
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = _train_epoch(network, optimizer, items, settings, seed=seed, epoch=epoch, device=device)
        if not math.isfinite(loss):
            raise NephroscaleError(
                f"The loss is not finite in epoch {epoch}.", where=f"seed {seed}", fix="Lower deposits.learning_rate."
            )
        score(epoch, rate, loss)
    network.load_state_dict(progress.best)
    return network, progress.curve, progress.best_epoch


def _with_head(backbone: Backbone, items: Items, settings: DepositsSettings, *, seed: int, device: str) -> PlainNetwork:
    """Train a head on the features of the frozen backbone, all instances in each step."""
    backbone.to(device).eval()
    with torch.no_grad():
        parts = [backbone.pooled(pixels)[-1] for pixels in _batches(items, device, settings.batch_size)]
    pooled = torch.cat(parts)
    torch.manual_seed(_derived("head", seed, 0))
    network = PlainNetwork(backbone, pooled.shape[1]).to(device)
    labels = torch.from_numpy(items.labels).float().to(device)
    weights = torch.from_numpy(items.weights).float().to(device)
    optimizer = torch.optim.AdamW(network.head.parameters(), lr=HEAD_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    for _ in range(settings.head_steps):
        optimizer.zero_grad(set_to_none=True)
        loss = functional.binary_cross_entropy_with_logits(network.classify(pooled), labels, weights)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network


def _train_epoch(
    network: PlainNetwork,
    optimizer: torch.optim.Optimizer,
    items: Items,
    settings: DepositsSettings,
    *,
    seed: int,
    epoch: int,
    device: str,
) -> float:
    """Pass once over the instances, each flipped or turned at random; return the mean loss of a picture."""
    generator = torch.Generator().manual_seed(_derived("order", seed, epoch))
    torch.manual_seed(_derived("dropout", seed, epoch))
    network.train()
    order = torch.randperm(len(items.instances), generator=generator)
    total = 0.0
    for start in range(0, len(order), settings.batch_size):
        chosen = order[start : start + settings.batch_size].numpy()
        turned = torch.stack([_turn(image, generator) for image in torch.from_numpy(items.instances.read(chosen))]).to(
            device
        )
        labels = torch.from_numpy(items.labels[chosen]).float().to(device)
        weights = torch.from_numpy(items.weights[chosen]).float().to(device)
        optimizer.zero_grad(set_to_none=True)
        losses = functional.binary_cross_entropy_with_logits(network(turned), labels, weights, reduction="sum")
        (losses / len(chosen)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += float(losses.detach())
    return total / float(items.weights.sum())


def _turn(image: Tensor, generator: torch.Generator) -> Tensor:
    """Flip and turn a square image by one of the eight symmetries of the square."""
    symmetry = int(torch.randint(8, (1,), generator=generator))
    turned = torch.rot90(image, symmetry % 4)
    return turned.flip(1) if symmetry >= 4 else turned


@torch.inference_mode()
def _instance_probabilities(network: PlainNetwork, items: Items, device: str, batch_size: int) -> np.ndarray:
    network.eval()
    return torch.cat([network(pixels).sigmoid().cpu() for pixels in _batches(items, device, batch_size)]).numpy()


def _batches(items: Items, device: str, batch_size: int) -> Iterator[Tensor]:
    return (torch.from_numpy(pixels).to(device) for pixels in items.instances.batches(batch_size))


def _note(progress: TrainingProgress, point: CurvePoint, network: nn.Module) -> None:
    progress.curve.append(point)
    if point.validation_loss < progress.best_loss:
        progress.best_epoch, progress.best_loss = point.epoch, point.validation_loss
        progress.best = copy_state(network)


def _derived(purpose: str, seed: int, epoch: int) -> int:
    return int.from_bytes(blake3(f"deposits {purpose}:{seed}:{epoch}".encode()).digest()[:7], "little")


def _rounded(value: float) -> float:
    return float(f"{value:.8g}")
