"""Whether the weights that a configuration names exist, and where missing ones can be obtained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open

from nephroscale.features.known_encoders import known_encoder
from nephroscale.features.protocol import NamedWeights
from nephroscale.features.registry import H5
from nephroscale.features.weights import PREPARED, digest_weights, prepared_path

WITHOUT_WEIGHTS = ("texture", "pixels", H5, "small-cnn")
"""Encoders that compute without weights, and bags made elsewhere."""


class WeightsCheck(NamedTuple):
    """The weights of one encoder of a configuration.

    Parameters
    ----------
    where
        Its place in the configuration.
    name, weights
        As named there.
    usable
        Whether a run can use it.
    verdict
        In words: present, missing, not safetensors, without digest, or with another digest.
    fix
        What to do, where it cannot be used.
    """

    where: str
    name: str
    weights: str | None
    usable: bool
    verdict: str
    fix: str = ""


def check_encoders(encoders: Mapping[str, NamedWeights]) -> list[WeightsCheck]:
    """Check the weights of every encoder of a configuration.

    Parameters
    ----------
    encoders
        Place in the configuration to settings.
    """
    return [
        WeightsCheck(where, settings.name, settings.weights, *_judge(settings)) for where, settings in encoders.items()
    ]


def _judge(settings: NamedWeights) -> tuple[bool, str, str]:
    """Give usable, verdict and fix of one encoder."""
    if settings.name in WITHOUT_WEIGHTS:
        return True, "needs no weights", ""
    if settings.name in PREPARED and not settings.weights:
        if prepared_path(settings.name).is_file():
            return True, "prepared", ""
        return False, "not prepared on this machine", "Run `nephroscale weights prepare`."
    path = Path(settings.weights or "")
    if not settings.weights or not path.exists():
        known = known_encoder(settings.name)
        source = f"; for example {known.title}: huggingface.co/{known.source}, licence {known.licence}" if known else ""
        missing = "the path does not exist" if settings.weights else "no weights are named"
        fix = "Obtain the weights as safetensors, and name their path as `weights` with their `digest`."
        return False, missing + source, f"A run downloads nothing. {fix}"
    if fault := _unreadable(path):
        return False, fault, "Obtain the file again, or convert the weights to safetensors."
    found = digest_weights(path)
    if not settings.digest:
        fix = f"If these are the right weights, add `digest: {found}`."
        return False, f"present, but without `digest:`; it is {found}", fix
    if found != settings.digest.lower():
        verdict = f"present, but with another digest than the configuration names: {found}"
        return False, verdict, "Obtain the right weights, or correct `digest` if these are right."
    return True, "present, with the digest that the configuration names", ""


def _unreadable(path: Path) -> str | None:
    """Describe why a file, or the model.safetensors of a folder, is not safetensors; None if it is."""
    file = path / "model.safetensors" if path.is_dir() else path
    if file.suffix == ".json":  # of a network to train from scratch
        return None
    if not file.is_file():
        return f"the folder has no {file.name}"
    try:
        with safe_open(file, framework="numpy"):
            return None
    except (SafetensorError, OSError) as fault:
        return f"{file.name} is not a readable safetensors file ({fault})"
