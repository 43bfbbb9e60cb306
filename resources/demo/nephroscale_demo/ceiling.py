"""The best possible prediction of the demo's cases, from the pictures that their images show.

Given which picture each modality shows, a case's images are independent of its class. So no prediction from the images
is better than the posterior given the pictures (`pictures.posterior`). Its accuracy and log-loss are upper bounds: they
take the pictures as recognised without error, and their shares as known.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from nephroscale_demo.pictures import CLASSES, SHARES, SUBSETS, ceiling, posterior

if TYPE_CHECKING:
    from nephroscale_demo.draft import Draft


def ceiling_json(draft: Draft) -> str:
    """Give the accuracy and log-loss of the best prediction, and the posterior of each case that can be diagnosed.

    Both are given for all subsets of modalities; `expected` for new patients, `cohort` for the cases themselves. Each
    biopsy of several is a case.

    Parameters
    ----------
    draft
        A cohort whose patients have `pictures`.
    """
    diagnoses = {row.patient_id: row.diagnosis for row in draft.patients}
    cases = _cases(draft)
    labels = [CLASSES.index(diagnoses[patient]) for patient in cases.values()]
    expected, cohort, posteriors = {}, {}, {}
    for names in SUBSETS:
        subset = "+".join(names)
        chances = np.array([posterior(draft.pictures[patient], names) for patient in cases.values()])
        expected[subset] = _rounded(*ceiling(names))
        cohort[subset] = _rounded(*_score(chances, labels))
        posteriors[subset] = dict(zip(cases, np.round(chances, 4).tolist(), strict=True))
    found = {"classes": CLASSES, "expected": expected, "cohort": cohort, "posterior": posteriors}
    return json.dumps(found, indent=1, sort_keys=True) + "\n"


def _cases(draft: Draft) -> dict[str, str]:
    """Map the cases that have readable images of all modalities to their patients."""
    damaged = {work.path for work in draft.works if work.damage}
    seen: dict[tuple[str, str], set[str]] = {}
    for row in draft.images:
        if row.patient_id in draft.pictures and row.path not in damaged:
            name = f"{row.patient_id}-{row.biopsy_id}" if row.biopsy_id else row.patient_id
            seen.setdefault((name, row.patient_id), set()).add(row.modality)
    return {name: patient for (name, patient), modalities in seen.items() if modalities == set(SHARES)}


def _score(chances: np.ndarray, labels: list[int]) -> tuple[float, float]:
    """Accuracy and log-loss, as means over cases; cases that are tied count in part."""
    own = chances[np.arange(len(labels)), labels]
    best = chances.max(axis=1, keepdims=True)
    hits = (own >= best[:, 0] - 1e-9) / (chances >= best - 1e-9).sum(axis=1)
    return float(hits.mean()), float(-np.log(own).mean())


def _rounded(accuracy: float, log_loss: float) -> dict[str, float]:
    return {"accuracy": round(accuracy, 4), "log_loss": round(log_loss, 4)}
