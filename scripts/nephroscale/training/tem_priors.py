"""Priors of TEM images: by how much each one counts in its bag before a network has seen it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "priors.json"


@dataclass(frozen=True)
class TemPriors:
    """The priors of some patients' images.

    Attributes
    ----------
    images
        Image id to prior, above 0 and at most 1.
    mean
        Their mean over the training patients; the prior of all other images.
    """

    images: Mapping[str, float]
    mean: float

    def of(self, image: str) -> float:
        """Give the prior of an image."""
        return self.images.get(image, self.mean)

    def write(self, folder: Path) -> None:
        """Write ``priors.json``."""
        (folder / FILE).write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_priors(folder: Path) -> TemPriors:
    """Read ``priors.json``."""
    return TemPriors(**json.loads((folder / FILE).read_text(encoding="utf-8")))
