"""One epoch: passing over patients to learn, or to validate; the optimizer and its rate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from blake3 import blake3

from nephroscale.training.augment import flip
from nephroscale.training.data import Bag, Layout, collate, layouts_of
from nephroscale.training.missing import drop_modalities
from nephroscale.training.precision import autocast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from nephroscale.models.batch import Batch
    from nephroscale.models.network import Network


def train_epoch(
    network: Network,
    optimizer: torch.optim.Optimizer,
    bags: Sequence[Bag],
    settings: Mapping[str, Any],
    *,
    seed: int,
    epoch: int,
    device: str,
    layouts: Mapping[str, Layout] | None = None,
) -> float:
    """Pass once over the training patients in an order of this epoch; give the mean loss of a patient.

    Order, flips and dropout are drawn from generators made anew from (seed, epoch): a resumed training draws the same.
    """
    generator = torch.Generator().manual_seed(_derived("epoch", seed, epoch))
    torch.manual_seed(_derived("dropout", seed, epoch))
    network.train()
    network.progress = epoch / settings["epochs"]
    order = torch.randperm(len(bags), generator=generator).tolist()
    total = torch.zeros((), dtype=torch.float64, device=device)
    share = settings["modality_dropout"] if network.supports_missing_modalities else 0.0
    drop = (lambda batch: drop_modalities(batch, share, generator)) if share else None
    for batch in batches([bags[i] for i in order], settings["batch"], device, layouts, drop):
        seen = flip(batch, generator) if settings["flips"] else batch
        optimizer.zero_grad(set_to_none=True)
        with autocast(device, settings["precision"]):
            loss = network.batch_loss(network(seen), seen)
        loss.backward()
        optimizer.step()
        network.after_step()
        total += loss.detach()
    return float(total) / len(bags)


@torch.no_grad()
def validate(  # noqa: PLR0917  (as for an epoch)
    network: Network,
    bags: Sequence[Bag],
    settings: Mapping[str, Any],
    classes: int,
    device: str,
    layouts: Mapping[str, Layout] | None = None,
) -> tuple[float, float | None]:
    """Give the mean loss of a patient, and the softmax's mean sensitivity over the classes that occur, if any."""
    network.eval()
    total = torch.zeros((), dtype=torch.float64, device=device)
    right, count = torch.zeros(2, classes, device=device)
    for batch in batches(bags, settings["batch"], device, layouts):
        with autocast(device, settings["precision"]):
            output = network(batch)
            total += network.batch_loss(output, batch)
        hit = (output.logits["fusion"].argmax(1) == batch.labels).float()
        ones = (batch.labels[:, None] == torch.arange(classes, device=device)).float()
        if batch.second is not None:  # who lies between two classes has no one true class
            ones = ones * (batch.second == batch.labels)[:, None]
        right, count = right + (ones * hit[:, None]).sum(0), count + ones.sum(0)
    occur = int((count > 0).sum())
    return float(total) / len(bags), float((right / count.clamp(min=1)).sum()) / occur if occur else None


def batches(
    bags: Sequence[Bag],
    size: int,
    device: str,
    layouts: Mapping[str, Layout] | None = None,
    change: Callable[[Batch], Batch] | None = None,
) -> Iterator[Batch]:
    """Cut bags into batches, change them on the host if so wished; the last may be smaller, nobody is dropped."""
    layouts = layouts_of(bags) if layouts is None else layouts
    for first in range(0, len(bags), size):
        batch = collate(bags[first : first + size], layouts)
        yield (batch if change is None else change(batch)).to(device)


def make_optimizer(network: Network, settings: Mapping[str, Any]) -> torch.optim.Adam:
    """Make the paper's optimizer, Adam with amsgrad, over what is to be trained."""
    return torch.optim.Adam(
        [p for p in network.parameters() if p.requires_grad],
        lr=settings["learning_rate"],
        weight_decay=settings["weight_decay"],
        amsgrad=True,
    )


def cosine_rate(epoch: int, settings: Mapping[str, Any]) -> float:
    """Give the learning rate of an epoch (from 0): half a cosine from the first rate towards the final one."""
    first, last = settings["learning_rate"], settings["final_learning_rate"]
    return last + (first - last) * (1 + math.cos(math.pi * epoch / settings["epochs"])) / 2


def _derived(purpose: str, seed: int, epoch: int) -> int:
    return int.from_bytes(blake3(f"{purpose}:{seed}:{epoch}".encode()).digest()[:7], "little")
