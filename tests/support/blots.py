"""Synthetic micrographs of patients, on which dark blots are deposits, as the stage `tem` stores them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nephroscale.arrays import write_arrays
from nephroscale.cohort.deposits import Deposits
from nephroscale.cohort.fold_table import FoldSides
from nephroscale.deposits.folds import DepositFolds

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 64
PATIENTS = [f"P{i:02d}" for i in range(18)]
TRAINING, VALIDATION, TEST = PATIENTS[:10], PATIENTS[10:14], PATIENTS[14:]


def micrograph(random: np.random.Generator, *, blot: bool) -> tuple[np.ndarray, tuple[int, int]]:
    """Draw noise, with a dark blot or without; return the blot's place, too."""
    picture = random.normal(150, 12, (SIZE, SIZE))
    y, x = random.integers(8, SIZE - 24, 2)
    if blot:
        picture[y : y + 14, x : x + 14] = random.normal(45, 6, (14, 14))
    return np.clip(picture, 0, 255).astype(np.uint8), (int(y), int(x))


def write_blots(root: Path) -> tuple[dict[str, Path], DepositFolds, dict[str, tuple[int, int]]]:
    """Write bags of 18 patients with two images each; return them, folds with readings, and where the blots are."""
    random = np.random.default_rng(3)
    bags: dict[str, Path] = {}
    readings: dict[str, dict[str, Deposits]] = {}
    places: dict[str, tuple[int, int]] = {}
    for number, patient in enumerate(PATIENTS):
        blots = [number % 2 == 0, number % 4 == 0]
        drawn = [micrograph(random, blot=blot) for blot in blots]
        names = [f"{patient}-TEM1", f"{patient}-TEM2"]
        whole = np.tile([0, 0, SIZE, SIZE], (2, 1))
        write_arrays(
            root / patient,
            {
                "images": np.stack([picture for picture, _ in drawn]),
                "image": np.arange(2, dtype=np.int16),
                "box": whole.astype(np.int32),
                "valid": whole.astype(np.int16),
            },
            {"images": names, "copies": {}},
        )
        bags[patient] = root / patient
        readings[patient] = {name: Deposits(blot) for name, blot in zip(names, blots, strict=True)}
        places |= {name: place for name, (_, place), blot in zip(names, drawn, blots, strict=True) if blot}
    sides = FoldSides("0", tuple(TRAINING), tuple(VALIDATION), tuple(TEST))
    return bags, DepositFolds((sides,), readings, {}), places
