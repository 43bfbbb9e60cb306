"""A patient is on one side of a split."""

import copy
from typing import Any

import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.training.folds import read_fold

FOLDS: dict[str, Any] = {
    "classes": ["IgAN", "MN"],
    "labels": {"a": 0, "b": 1, "c": 0, "d": 1},
    "folds": [{"name": "0", "train": ["b", "a"], "validation": ["c"], "test": ["d"]}],
}


def changed(**sides: list[str]) -> dict[str, Any]:
    folds = copy.deepcopy(FOLDS)
    folds["folds"][0] |= sides
    return folds


def test_reads_a_fold() -> None:
    fold = read_fold(FOLDS, "0")
    assert (fold.train, fold.validation, fold.test) == (["a", "b"], ["c"], ["d"])
    assert fold.labels == FOLDS["labels"]


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        ({"test": ["a", "d"]}, "train and test: a"),
        ({"validation": ["c", "d"]}, "validation and test: d"),
        ({"validation": ["c", "a"]}, "train and validation: a"),
        ({"train": ["a", "a"]}, "named twice"),
        ({"train": []}, "No patient is on the train side"),
        ({"validation": []}, "No patient is on the validation side"),
        ({"test": ["e"]}, "have no class: e"),
    ],
)
def test_faults(sides: dict[str, list[str]], message: str) -> None:
    with pytest.raises(NephroscaleError, match=message):
        read_fold(changed(**sides), "0")


def test_an_unknown_fold() -> None:
    with pytest.raises(NephroscaleError, match="0 folds named '9'"):
        read_fold(FOLDS, "9")
