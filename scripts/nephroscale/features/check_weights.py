"""Which weights a configuration names, which of them are there, and where the others can be had."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nephroscale.features.known_encoders import known_encoder
from nephroscale.features.weights import digest_weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Encoders that compute without weights, and bags that were made elsewhere.
WITHOUT_WEIGHTS = ("texture", "pixels", "h5", "small-cnn")


class Entry(NamedTuple):
    """One encoder of a configuration.

    Parameters
    ----------
    where
        Its place in the configuration.
    name, weights
        As named there.
    sound
        Whether a run can use it.
    verdict
        In words: there, missing, undigested, or another file than was meant.
    """

    where: str
    name: str
    weights: str | None
    sound: bool
    verdict: str


def take_inventory(config: Mapping[str, Any]) -> list[Entry]:
    """Look at the weights of every encoder that a configuration names.

    Parameters
    ----------
    config
        With defaults filled in.
    """
    return [
        Entry(where, settings["name"], settings.get("weights"), *_judge(settings)) for where, settings in _named(config)
    ]


def _named(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for modality, settings in config["features"]["encoders"].items():
        yield f"features.encoders.{modality}", settings
    for model, entry in config["models"].items():
        if entry.get("encoder"):
            yield f"models.{model}.encoder", entry["encoder"]


def _judge(settings: Mapping[str, Any]) -> tuple[bool, str]:
    if settings["name"] in WITHOUT_WEIGHTS:
        return True, "needs no weights"
    path = Path(settings.get("weights") or "")
    if not settings.get("weights") or not path.exists():
        known = known_encoder(settings["name"])
        told = (
            f"; {known.title}, for one, is at huggingface.co/{known.source}, licence {known.licence}" if known else ""
        )
        return False, ("there is nothing at the path" if settings.get("weights") else "no weights are named") + told
    found = digest_weights(path)
    if not settings.get("digest"):
        return False, f"there, but without `digest:`; it is {found}"
    if found != settings["digest"].lower():
        return False, f"there, but not what the configuration means: its digest is {found}"
    return True, "there, and what the configuration means"
