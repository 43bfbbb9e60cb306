import csv

import numpy as np

from nephroscale.evaluation.tables import Predictions
from nephroscale.reporting.label_review import find_suspects, write_label_review

CASES = [f"P{i}" for i in range(10)]
LABELS = np.array([0] * 5 + [1] * 5)


def predictions(first):
    first = np.array(first)
    return Predictions(CASES, LABELS, np.stack([first, 1 - first], 1))


def test_a_confident_contradiction_is_suspect_and_a_hesitant_one_is_not():
    doubted = predictions([0.9, 0.8, 0.8, 0.1, 0.45, 0.2, 0.2, 0.3, 0.3, 0.3])
    assert find_suspects(doubted) == ["P3"]  # P4 has 0.55, below the mean 0.74 of its cases


def test_suspects_stand_among_as_many_others(tmp_path):
    doubted = predictions([0.9, 0.9, 0.9, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.3])
    assert write_label_review(tmp_path, doubted, 1) == 2
    with (tmp_path / "blinded_reading" / "label_review.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    with (tmp_path / "label_review_key.csv").open() as stream:
        key = {row["patient_id"]: row["suspect"] for row in csv.DictReader(stream)}
    assert list(rows[0]) == ["patient_id", "reader", "diagnosis", "remark"]
    assert [row["patient_id"] for row in rows] == list(key)
    assert {case for case, suspect in key.items() if suspect == "1"} == {"P3", "P4"}
    assert len(key) == 4
    assert [path.name for path in (tmp_path / "blinded_reading").iterdir()] == ["label_review.csv"]


def test_without_suspects_there_is_no_table(tmp_path):
    assert write_label_review(tmp_path, predictions([0.9] * 5 + [0.1] * 5), 1) == 0
    assert write_label_review(tmp_path, None, 1) == 0
    assert list(tmp_path.iterdir()) == []
