"""Whether the weights that a configuration names exist, and where missing ones can be obtained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nephroscale.features.known_encoders import known_encoder
from nephroscale.features.registry import H5
from nephroscale.features.weights import digest_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nephroscale.features.protocol import NamedWeights

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
        In words: present, missing, without digest, or with another digest.
    """

    where: str
    name: str
    weights: str | None
    usable: bool
    verdict: str


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


def _judge(settings: NamedWeights) -> tuple[bool, str]:
    if settings.name in WITHOUT_WEIGHTS:
        return True, "needs no weights"
    path = Path(settings.weights or "")
    if not settings.weights or not path.exists():
        known = known_encoder(settings.name)
        source = f"; for example {known.title}: huggingface.co/{known.source}, licence {known.licence}" if known else ""
        return False, ("the path does not exist" if settings.weights else "no weights are named") + source
    found = digest_weights(path)
    if not settings.digest:
        return False, f"present, but without `digest:`; it is {found}"
    if found != settings.digest.lower():
        return False, f"present, but with another digest than the configuration names: {found}"
    return True, "present, with the digest that the configuration names"
