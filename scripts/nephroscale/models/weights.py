"""Trained networks on disk: `weights.safetensors` beside the `model.json` that says what they are the weights of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from nephroscale.errors import NephroscaleError
from nephroscale.models.registry import build

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import Tensor

    from nephroscale.models.network import Network


def save_model(folder: Path, state: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write a network's tensors and what rebuilds it; equal input gives equal bytes.

    Parameters
    ----------
    folder
        Existing folder.
    state
        The network's `state_dict`.
    metadata
        JSON values, among them `settings`, `shapes` and `classes` as :func:`nephroscale.models.registry.build` reads
        them (`classes` as the list of their names).
    """
    text = json.dumps(metadata, sort_keys=True)
    tensors = {name: state[name].detach().cpu().contiguous() for name in sorted(state)}
    save_file(tensors, folder / "weights.safetensors", metadata={"nephroscale": text})
    (folder / "model.json").write_text(json.dumps(metadata, sort_keys=True, indent=1) + "\n")


def load_model(folder: Path, device: str | torch.device = "cpu") -> tuple[Network, dict[str, Any]]:
    """Rebuild a trained network, in evaluation mode.

    Parameters
    ----------
    folder
        What :func:`nephroscale.training.fit.fit` made.
    device
        Where the network is put.

    Returns
    -------
    tuple
        The network, and the content of its `model.json`.

    Raises
    ------
    NephroscaleError
        When the folder holds no such network, or weights that do not fit it.
    """
    try:
        metadata: dict[str, Any] = json.loads((Path(folder) / "model.json").read_text())
        state = load_file(Path(folder) / "weights.safetensors")
        shapes = {name: (int(h), int(w), int(c)) for name, (h, w, c) in metadata["shapes"].items()}
        network = build(metadata["settings"], shapes, len(metadata["classes"]))
        network.load_state_dict(state)
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise NephroscaleError(
            "This is not a trained network that this version can read.",
            where=f"{folder} ({str(error).splitlines()[0]})",
            todo="Train it again.",
        ) from error
    return network.eval().to(device), metadata
