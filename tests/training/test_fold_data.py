"""A patient is on one side of a split."""

import pytest

from nephroscale.errors import NephroscaleError
from support.stored_features import Cohort
from support.training import with_sides

ALL = ("TEM", "OM", "IM")


def test_the_bags_of_a_side(cohort: Cohort) -> None:
    data = with_sides(cohort.data(), train=["P004", "P001"])
    assert [(bag.patient, bag.label) for bag in data.bags("train", ALL)] == [("P001", 1), ("P004", 1)]
    assert [bag.patient for bag in data.bags("test", ["OM"])] == ["P009", "P010", "P011"]
    assert data.classes == ("IgAN", "MN", "LN")


@pytest.mark.parametrize(
    ("side", "sides", "message"),
    [
        ("train", {"test": ["P000", "P009"]}, "train and test: P000"),
        ("validation", {"validation": ["P006", "P009"]}, "validation and test: P009"),
        ("train", {"validation": ["P006", "P005"]}, "train and validation: P005"),
        ("train", {"train": ["P000", "P000"]}, "named twice on the train side"),
        ("train", {"train": []}, "No patient is on the train side"),
        ("validation", {"validation": []}, "No patient is on the validation side"),
        ("test", {"test": ["P099"]}, "have no class: P099"),
    ],
)
def test_an_invalid_side_is_an_error(cohort: Cohort, side: str, sides: dict[str, list[str]], message: str) -> None:
    with pytest.raises(NephroscaleError, match=message):
        with_sides(cohort.data(), **sides).bags(side, ALL)  # type: ignore[arg-type]


def test_an_unknown_fold(cohort: Cohort) -> None:
    with pytest.raises(NephroscaleError, match="0 folds named '9'"):
        cohort.data(name="9").bags("train", ALL)


def test_only_the_patients_of_a_side_are_opened(cohort: Cohort) -> None:
    features = {patient: paths for patient, paths in cohort.features.items() if patient in cohort.folds.folds[0].train}
    data = cohort.data(features=features)
    assert len(data.bags("train", ALL)) == 6
    with pytest.raises(NephroscaleError, match="Patient P006 has no TEM features"):
        data.bags("validation", ALL)
