"""A checkpoint for each epoch, from which training goes on to the same last bit."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from blake3 import blake3
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor, nn

FORMAT = 1
NAME = "checkpoint.safetensors"


@dataclass
class Progress:
    """How far a training has come.

    All randomness of an epoch is derived from the seed and the epoch's number, so that no generator's state belongs
    here.

    Attributes
    ----------
    curve
        One entry for each epoch done.
    best_epoch, best_loss
        The epoch of the lowest validation loss, counted from 0, and that loss; -1 and infinity before the first.
    best
        The weights after that epoch, on the host.
    """

    curve: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = -1
    best_loss: float = float("inf")
    best: dict[str, Tensor] = field(default_factory=dict)


def copy_state(network: nn.Module) -> dict[str, Tensor]:
    """Copy a network's tensors to the host."""
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def save_checkpoint(
    work: Path, identity: str, network: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress
) -> None:
    """Write a checkpoint under a temporary name and rename it, so that a killed job leaves the one before.

    Parameters
    ----------
    work
        Folder of the training, made if absent.
    identity
        Digest of everything that decides the training: a checkpoint serves only a training of the same.
    network, optimizer, progress
        The state after an epoch.
    """
    tensors = {f"model.{name}": tensor for name, tensor in copy_state(network).items()}
    tensors |= {f"best.{name}": tensor for name, tensor in progress.best.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value.detach().cpu().clone() for key, value in state.items()}
    tensors = {name: tensors[name].contiguous() for name in sorted(tensors)}
    metadata = {
        "format": FORMAT,
        "identity": identity,
        "digest": _digest(tensors),
        "curve": progress.curve,
        "best_epoch": progress.best_epoch,
        "best_loss": progress.best_loss,
    }
    work.mkdir(parents=True, exist_ok=True)
    temporary = work / f".{NAME}.new"
    save_file(tensors, temporary, metadata={"nephroscale": json.dumps(metadata, sort_keys=True)})
    temporary.replace(work / NAME)


def load_checkpoint(
    work: Path, identity: str, network: nn.Module, optimizer: torch.optim.Optimizer, log: Callable[[str], None]
) -> Progress:
    """Go back to the last checkpoint of this very training, if there is one.

    A checkpoint that is torn, damaged or of another training is ignored with a message, and training begins anew.
    """
    path = work / NAME
    if not path.exists():
        return Progress()
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, Any] = json.loads(file.metadata()["nephroscale"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
        log(f"The checkpoint cannot be read and is ignored ({error}).")
        return Progress()
    if metadata.get("format") != FORMAT or metadata.get("identity") != identity:
        log("The checkpoint is of another training and is ignored.")
        return Progress()
    if metadata["digest"] != _digest(tensors):
        log("The checkpoint is damaged and is ignored.")
        return Progress()

    network.load_state_dict(_under("model.", tensors))
    state = optimizer.state_dict()
    state["state"] = {}
    for name, tensor in _under("optimizer.", tensors).items():
        index, key = name.split(".", 1)
        state["state"].setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict(state)
    log(f"Going on after epoch {len(metadata['curve'])}.")
    return Progress(metadata["curve"], metadata["best_epoch"], metadata["best_loss"], _under("best.", tensors))


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _digest(tensors: Mapping[str, Tensor]) -> str:
    hasher = blake3()
    for name in sorted(tensors):
        tensor = tensors[name]
        hasher.update(f"{name}:{tensor.dtype}:{list(tensor.shape)}".encode())
        hasher.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return hasher.hexdigest()
