"""A checkpoint after each epoch, from which a training resumes to the same bits."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from blake3 import blake3
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

FORMAT = 2
FILE = "checkpoint.safetensors"


@dataclass(frozen=True)
class CurvePoint:
    """One epoch of the training curve; the epoch is counted from 1, losses are means over the patients."""

    epoch: int
    learning_rate: float
    train_loss: float
    validation_loss: float
    validation_balanced_accuracy: float | None


@dataclass
class TrainingProgress:
    """The state of a training between two epochs.

    The randomness of an epoch is derived from the seed and the number of the epoch, so that no state of a generator is
    part of it.

    Attributes
    ----------
    curve
        The finished epochs.
    best_epoch, best_loss
        The epoch of the lowest validation loss, counted from 0, and this loss; -1 and infinity before the first epoch.
    best
        The weights after this epoch, on the host.
    """

    curve: list[CurvePoint] = field(default_factory=list)
    best_epoch: int = -1
    best_loss: float = float("inf")
    best: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """The checkpoint of one training.

    Attributes
    ----------
    folder
        Folder of the file, created on the first save.
    name
        Name of the training, such as the digest of its recipe: everything that decides the result, apart from torch's
        version, its number of threads and the kind of device, which are added here. A checkpoint of another name is
        ignored.
    """

    folder: Path
    name: str

    def save(self, network: nn.Module, optimizer: torch.optim.Optimizer, progress: TrainingProgress) -> None:
        """Write the state after an epoch to a temporary file and rename it, so that a killed job keeps the last one."""
        tensors = {
            **{f"model.{name}": tensor for name, tensor in copy_state(network).items()},
            **{f"best.{name}": tensor for name, tensor in progress.best.items()},
            **{
                f"optimizer.{index}.{key}": value.detach().cpu().clone()
                for index, state in optimizer.state_dict()["state"].items()
                for key, value in state.items()
            },
        }
        tensors = {name: tensors[name].contiguous() for name in sorted(tensors)}
        metadata = {
            "format": FORMAT,
            "name": self._full_name(network),
            "digest": _digest(tensors),
            "curve": [asdict(point) for point in progress.curve],
            "best_epoch": progress.best_epoch,
            "best_loss": progress.best_loss,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{FILE}.new"
        save_file(tensors, temporary, metadata={"nephroscale": json.dumps(metadata, sort_keys=True)})
        temporary.replace(self.folder / FILE)

    def load(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, log: Callable[[str], None]
    ) -> TrainingProgress:
        """Restore the last checkpoint of this training, if there is one.

        A checkpoint that is torn, damaged or of another training is ignored with a message, and the training starts
        from the first epoch.
        """
        path = self.folder / FILE
        if not path.exists():
            return TrainingProgress()
        try:
            with safe_open(path, framework="pt") as file:
                metadata: dict[str, Any] = json.loads(file.metadata()["nephroscale"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
        except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
            log(f"The checkpoint cannot be read and is ignored ({error}).")
            return TrainingProgress()
        if metadata.get("format") != FORMAT or metadata.get("name") != self._full_name(network):
            log("The checkpoint is of another training and is ignored.")
            return TrainingProgress()
        if metadata["digest"] != _digest(tensors):
            log("The checkpoint is damaged and is ignored.")
            return TrainingProgress()

        network.load_state_dict(_under("model.", tensors))
        state = optimizer.state_dict()
        state["state"] = {}
        for name, tensor in _under("optimizer.", tensors).items():
            index, key = name.split(".", 1)
            state["state"].setdefault(int(index), {})[key] = tensor
        optimizer.load_state_dict(state)
        _arrange_as_weights(optimizer)
        curve = [CurvePoint(**point) for point in metadata["curve"]]
        log(f"Resuming after epoch {len(curve)}.")
        return TrainingProgress(curve, metadata["best_epoch"], metadata["best_loss"], _under("best.", tensors))

    def _full_name(self, network: nn.Module) -> str:
        device = next(network.parameters()).device.type
        return f"{self.name}, torch {torch.__version__}, {torch.get_num_threads()} threads, {device}"


def _arrange_as_weights(optimizer: torch.optim.Optimizer) -> None:
    """Give moments the memory format of their weights (channels-last, perhaps), which a fused optimizer requires."""
    for weight, moments in optimizer.state.items():
        for name, value in moments.items():
            if value.shape == weight.shape:
                moments[name] = torch.empty_like(weight, requires_grad=False).copy_(value)


def copy_state(network: nn.Module) -> dict[str, Tensor]:
    """Copy a network's tensors to the host."""
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _digest(tensors: Mapping[str, Tensor]) -> str:
    hasher = blake3()
    for name in sorted(tensors):
        tensor = tensors[name]
        hasher.update(f"{name}:{tensor.dtype}:{list(tensor.shape)}".encode())
        hasher.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return hasher.hexdigest()
