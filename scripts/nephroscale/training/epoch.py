"""One pass over the patients, to train or to validate; the optimizer and its learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import torch
from blake3 import blake3

from nephroscale.ahead import ahead
from nephroscale.models.batch import Batch
from nephroscale.models.network import Network
from nephroscale.training.augment import flip
from nephroscale.training.data import Bag, Layout, collate, layouts_of
from nephroscale.training.missing import drop_modalities
from nephroscale.training.optimizer import set_gradients
from nephroscale.training.precision import autocast
from nephroscale.training.recorded import pad_images
from nephroscale.training.settings import TrainSettings

Step = Callable[[Batch], tuple[torch.Tensor, ...]]

SLOTS = 4
"""On a GPU, slots of pixels are rounded up to a multiple of this, so that few layouts of batches occur."""


def train_epoch(
    network: Network,
    optimizer: torch.optim.Optimizer,
    bags: Sequence[Bag],
    settings: TrainSettings,
    *,
    seed: int,
    epoch: int,
    device: str = "cpu",
    layouts: Mapping[str, Layout] | None = None,
    step: Step | None = None,
) -> float:
    """Pass once over the training patients in random order; return the mean loss of a patient.

    Order, flips and dropout come from generators seeded by (seed, epoch), so that a resumed training draws the same.
    `step` replaces :func:`training_step`.
    """
    step = step or partial(training_step, network, optimizer, settings)
    generator = torch.Generator().manual_seed(_derived("epoch", seed, epoch))
    torch.manual_seed(_derived("dropout", seed, epoch))
    network.train()
    network.progress = epoch / settings.epochs
    order = torch.randperm(len(bags), generator=generator).tolist()
    total = torch.zeros((), dtype=torch.float64, device=device)
    rate = settings.modality_dropout if network.supports_missing_modalities else None
    drop = (lambda batch: drop_modalities(batch, rate, generator)) if rate else None
    for batch in batches([bags[i] for i in order], settings.batch_size, device, layouts, drop):
        (loss,) = step(flip(batch, generator) if settings.random_flips else batch)
        network.after_step()
        total += loss
    return float(total) / len(bags)


def training_step(
    network: Network, optimizer: torch.optim.Optimizer, settings: TrainSettings, batch: Batch
) -> tuple[torch.Tensor]:
    """Update the weights by one batch and free the gradients, so that recordings share memory; return the loss []."""
    with autocast(batch.labels.device.type, settings.precision):
        loss = network.batch_loss(network(batch), batch)
    set_gradients(loss, optimizer)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return (loss.detach(),)


@torch.no_grad()
def validate(
    network: Network,
    bags: Sequence[Bag],
    settings: TrainSettings,
    *,
    device: str = "cpu",
    layouts: Mapping[str, Layout] | None = None,
    step: Step | None = None,
) -> tuple[float, float | None]:
    """Return the mean loss of a patient, and the balanced accuracy of the softmax, or None without a labelled patient.

    The balanced accuracy is the mean sensitivity over the classes that occur, without patients between two classes.
    `step` replaces :func:`validation_step`.
    """
    step = step or partial(validation_step, network, settings)
    network.eval()
    total = torch.zeros((), dtype=torch.float64, device=device)
    sums: list[torch.Tensor] = []
    for batch in batches(bags, settings.batch_size, device, layouts):
        loss, hits = step(batch)
        total += loss
        sums.append(hits)
    right, count = torch.stack(sums).sum(0)
    occur = int((count > 0).sum())
    return float(total) / len(bags), float((right / count.clamp(min=1)).sum()) / occur if occur else None


def validation_step(network: Network, settings: TrainSettings, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss [] of a batch, and [2, classes] its correct predictions and patients by class."""
    with autocast(batch.labels.device.type, settings.precision):
        output = network(batch)
        loss = network.batch_loss(output, batch)
    return loss, _hits_by_class(output.logits["fusion"], batch)


def _hits_by_class(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Count the correct predictions and the patients of each class: [2, classes]."""
    hit = (logits.argmax(1) == batch.labels).float()
    ones = (batch.labels[:, None] == torch.arange(logits.shape[1], device=logits.device)).float()
    if batch.second is not None:
        ones = ones * (batch.second == batch.labels)[:, None]
    return torch.stack([(ones * hit[:, None]).sum(0), ones.sum(0)])


def batches(
    bags: Sequence[Bag],
    size: int,
    device: str,
    layouts: Mapping[str, Layout] | None = None,
    change: Callable[[Batch], Batch] | None = None,
) -> Iterator[Batch]:
    """Divide bags into batches and apply `change` on the host; the last batch may be smaller, no patient is dropped."""
    layouts = layouts_of(bags) if layouts is None else layouts
    on_gpu = device.startswith("cuda")
    slots = SLOTS if on_gpu else 1
    read = [partial(collate, bags[first : first + size], layouts, slots) for first in range(0, len(bags), size)]
    for batch in ahead(read) if on_gpu else (each() for each in read):
        changed = batch if change is None else change(batch)
        yield pad_images(changed, batch).pinned().to(device) if on_gpu else changed


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate; a tensor keeps its place in memory, which a recorded step reads."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def cosine_rate(epoch: int, settings: TrainSettings) -> float:
    """Compute the learning rate of an epoch (from 0): half a cosine from the initial to the final rate.

    This is the closed form of torch's CosineAnnealingLR, whose recursion accumulates rounding errors and would differ
    after a resumed training.
    """
    first, last = settings.learning_rate, settings.final_learning_rate
    return last + (first - last) * (1 + math.cos(math.pi * epoch / settings.epochs)) / 2


def _derived(purpose: str, seed: int, epoch: int) -> int:
    return int.from_bytes(blake3(f"{purpose}:{seed}:{epoch}".encode()).digest()[:7], "little")
