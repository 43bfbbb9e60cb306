"""The temperature of a model on one fold, as the stage `temperature` stores it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

FILE_NAME = "temperature.json"


@dataclass(frozen=True)
class FittedTemperature:
    """Content of `temperature.json`.

    Attributes
    ----------
    temperature
        Fitted on the fold's validation patients, over the networks of all seeds; 1 where these are few.
    patients
        Number of validation patients.
    nll_before, nll_after
        Mean negative log-likelihood of these patients before and after temperature scaling.
    """

    temperature: float
    patients: int
    nll_before: float
    nll_after: float


def write_temperature(folder: Path, fitted: FittedTemperature) -> None:
    """Write `temperature.json` into a folder, which is created where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE_NAME).write_text(json.dumps(asdict(fitted), sort_keys=True, indent=1) + "\n", encoding="utf-8")


def read_temperature(folder: Path) -> FittedTemperature:
    """Read the temperature from an object of the stage `temperature`."""
    return FittedTemperature(**json.loads((folder / FILE_NAME).read_text(encoding="utf-8")))
