"""Deletion test of CMSA's attention: whether the prediction depends on the regions with much attention.

References
----------
Petsiuk, Das and Saenko, RISE: randomized input sampling for explanation of black-box models, BMVC 2018 (deletion);
Hooker et al., A benchmark for interpretability methods in deep neural networks, NeurIPS 2019 (random regions as the
comparison).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from nephroscale.evaluation.tables import read_rows
from nephroscale.models.ordinal import class_log_probabilities
from nephroscale.training.data import Layout, collate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nephroscale.evaluation.inference import PatientPrediction
    from nephroscale.models.network import Network

SHARE = 0.2
"""Share of a map's regions that is deleted."""
DRAWS = 20
"""Random choices of as many regions."""


@dataclass(frozen=True)
class Deletion:
    """One row of `deletion.csv`: the probability of a patient's predicted class without some regions of one modality.

    Attributes
    ----------
    patient_id, modality
        The patient; `OM` or `IM`.
    regions, deleted
        Regions of the map, and how many were deleted.
    whole
        Probability with all regions.
    highest
        Without the regions with the most attention.
    random
        Without as many random ones, mean over :data:`DRAWS` choices.
    """

    patient_id: str
    modality: str
    regions: int
    deleted: int
    whole: float
    highest: float
    random: float

    @property
    def difference(self) -> float:
        """How much more the probability falls without the highest regions than without random ones."""
        return self.random - self.highest


def delete_regions(
    network: Network,
    predicted: Sequence[PatientPrediction],
    layouts: Mapping[str, Layout] | None,
    prediction: str,
    device: str = "cpu",
) -> list[Deletion]:
    """Delete regions of each patient's OM and IM maps, those with the most attention and random ones.

    The attention of a region is its mean over the tokens of TEM. What is deleted is a region of the map that the
    attention reads, after the encoder and after the pooling of several glomeruli or markers.

    Parameters
    ----------
    network
        In evaluation mode.
    predicted
        The patients, with the network's attention; those without are skipped.
    layouts, prediction, device
        As in :func:`nephroscale.evaluation.inference.infer`.
    """
    rows = []
    for one in predicted:
        for modality, maps in one.output.attention.items():
            attention = maps[0].float().mean(0).cpu().numpy()
            count = len(attention)
            if count < 2 or not attention.any():  # one region, or a patient who lacks TEM or this modality
                continue
            deleted = max(1, round(SHARE * count))
            chosen = choose_regions(attention, deleted, one.bag.patient + modality)
            with torch.inference_mode():
                batch = collate([one.bag], layouts).to(device)
                output = network.without_regions(batch, modality, torch.from_numpy(chosen).to(device))
                found = class_log_probabilities(output, prediction).exp().cpu().numpy()
            kind = int(one.log_probabilities.argmax())
            highest, *random = found[:, kind].tolist()
            whole = float(one.probabilities[kind])
            rows.append(Deletion(one.bag.patient, modality, count, deleted, whole, highest, float(np.mean(random))))
    return rows


def choose_regions(attention: np.ndarray, deleted: int, name: str) -> np.ndarray:
    """Choose the regions to delete, [1 + DRAWS, tokens] bool: first those with the most attention, then random ones.

    Parameters
    ----------
    attention
        [tokens] float.
    deleted
        Number of regions.
    name
        Decides the random ones.
    """
    chosen = np.zeros((1 + DRAWS, len(attention)), bool)
    chosen[0, np.argsort(-attention, kind="stable")[:deleted]] = True
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    for row in chosen[1:]:
        row[generator.permutation(len(attention))[:deleted]] = True
    return chosen


def read_deletions(path: Path) -> list[Deletion]:
    """Read `deletion.csv`; empty without such a file."""
    return [
        Deletion(
            row["patient_id"],
            row["modality"],
            int(row["regions"]),
            int(row["deleted"]),
            *(float(row[name]) for name in ("whole", "highest", "random")),
        )
        for row in read_rows(path, needed=False)
    ]
