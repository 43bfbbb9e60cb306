"""A blinded second reading: cases whose labels the model doubts, among as many others.

References
----------
Northcutt C, Jiang L, Chuang I. Confident learning: estimating uncertainty in dataset labels. Journal of Artificial
Intelligence Research 70, 2021.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nephroscale.evaluation.tables import Predictions, write_table

READING = "blinded_reading"
"""Folder of what a reader may see."""


def write_label_review(folder: Path, pooled: Predictions | None, seed: int) -> int:
    """Write `blinded_reading/label_review.csv` for a reader to fill in, and `label_review_key.csv` for afterwards.

    The reader's table has a folder of its own, so that it can be given away without the key and the report.

    Parameters
    ----------
    folder
        Folder of the report.
    pooled
        Out-of-fold predictions of the headline model.
    seed
        Draws the others and the order.

    Returns
    -------
    int
        Number of suspect cases; without any, no file is written.
    """
    suspects = find_suspects(pooled.certain) if pooled else []
    if not pooled or not suspects:
        return 0
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(sorted(set(pooled.certain.patients) - set(suspects)))[: len(suspects)].tolist()
    order = rng.permutation([*suspects, *drawn]).tolist()
    columns = ["patient_id", "reader", "diagnosis", "remark"]
    (folder / READING).mkdir()
    write_table(folder / READING / "label_review.csv", columns, ({"patient_id": case} for case in order))
    key = ({"patient_id": case, "suspect": case in suspects} for case in order)
    write_table(folder / "label_review_key.csv", ["patient_id", "suspect"], key)
    return len(suspects)


def find_suspects(predictions: Predictions) -> list[str]:
    """Find cases whose label the model confidently contradicts.

    These are predicted as another class with at least the mean probability that this class has among its own cases.
    """
    labels, chances = predictions.labels, predictions.probabilities
    usual = np.array(
        [chances[labels == c, c].mean() if (labels == c).any() else np.inf for c in range(chances.shape[1])]
    )
    predicted = chances.argmax(axis=1)
    doubted = (predicted != labels) & (chances.max(axis=1) >= usual[predicted])
    return [case for case, doubt in zip(predictions.patients, doubted, strict=True) if doubt]
