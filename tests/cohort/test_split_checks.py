import copy

import pytest

from nephroscale.cohort.split_checks import assert_disjoint
from nephroscale.errors import NephroscaleError

FOLDS = {
    "labels": {"a": 0, "b": 1, "c": 0, "d": 1},
    "groups": {"a": "f", "b": "f"},
    "folds": [
        {"name": "0", "train": ["c"], "validation": ["d"], "test": ["a", "b"]},
        {"name": "1", "train": ["a", "b"], "validation": [], "test": ["c", "d"]},
    ],
}


def test_a_split_passes() -> None:
    assert_disjoint(FOLDS)


@pytest.mark.parametrize(
    ("fold", "side", "patients", "told"),
    [
        (0, "train", ["a", "c"], "a are on more than one side"),
        (0, "train", ["c", "c"], "c are on more than one side"),
        (0, "train", [], "c are on no side"),
        (0, "train", ["c", "x"], "x are not eligible"),
        (1, "test", ["c"], "d are on no side"),
    ],
)
def test_what_is_no_split_is_refused(fold, side, patients, told) -> None:
    folds = copy.deepcopy(FOLDS)
    folds["folds"][fold][side] = patients
    with pytest.raises(NephroscaleError, match=told):
        assert_disjoint(folds)


def test_a_patient_is_tested_once() -> None:
    folds = copy.deepcopy(FOLDS)
    folds["folds"][1] = {"name": "1", "train": ["d"], "validation": [], "test": ["a", "b", "c"]}
    with pytest.raises(NephroscaleError, match="a, b are tested in more than one fold"):
        assert_disjoint(folds)
    folds["folds"][1] = {"name": "1", "train": ["a", "b"], "validation": ["d"], "test": ["c"]}
    with pytest.raises(NephroscaleError, match="d are tested in no fold"):
        assert_disjoint(folds)


def test_a_group_is_on_one_side() -> None:
    folds = copy.deepcopy(FOLDS)
    folds["folds"][0].update(train=["a", "c"], test=["b"])
    with pytest.raises(NephroscaleError, match="a, b have someone of their group on another side"):
        assert_disjoint(folds)
