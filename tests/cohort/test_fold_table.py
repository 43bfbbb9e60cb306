import json
from dataclasses import replace

import pytest

from nephroscale.cohort.fold_table import FoldSides, FoldTable, LabelCount, assert_disjoint, read_folds
from nephroscale.errors import NephroscaleError

TABLE = FoldTable(
    classes=("A", "B"),
    labels={"a": 0, "b": 1, "c": 0, "d": 1},
    groups={"a": "f", "b": "f"},
    folds=(
        FoldSides("0", train=("c",), validation=("d",), test=("a", "b")),
        FoldSides("1", train=("a", "b"), validation=(), test=("c", "d")),
    ),
)


def with_fold(number: int, **sides: tuple[str, ...]) -> FoldTable:
    folds = list(TABLE.folds)
    folds[number] = replace(folds[number], **sides)
    return replace(TABLE, folds=tuple(folds))


def test_a_split_passes() -> None:
    assert_disjoint(TABLE)


@pytest.mark.parametrize(
    ("fold", "side", "patients", "message"),
    [
        (0, "train", ("a", "c"), "a are on more than one side"),
        (0, "train", ("c", "c"), "c are on more than one side"),
        (0, "train", (), "c are on no side"),
        (0, "train", ("c", "x"), "x are not eligible"),
        (1, "test", ("c",), "d are on no side"),
    ],
)
def test_folds_that_are_no_split_are_refused(fold, side, patients, message) -> None:
    with pytest.raises(NephroscaleError, match=message):
        assert_disjoint(with_fold(fold, **{side: patients}))


def test_a_patient_is_tested_once() -> None:
    with pytest.raises(NephroscaleError, match="a, b are tested in more than one fold"):
        assert_disjoint(with_fold(1, train=("d",), validation=(), test=("a", "b", "c")))
    with pytest.raises(NephroscaleError, match="d are tested in no fold"):
        assert_disjoint(with_fold(1, train=("a", "b"), validation=("d",), test=("c",)))


def test_a_group_is_on_one_side() -> None:
    with pytest.raises(NephroscaleError, match="a, b have patients of their group on another side"):
        assert_disjoint(with_fold(0, train=("a", "c"), test=("b",)))


def test_every_patient_has_a_class() -> None:
    with pytest.raises(NephroscaleError, match="d have no class"):
        assert_disjoint(replace(TABLE, labels={**TABLE.labels, "d": 2}))


def test_a_table_is_read_as_it_was_written(tmp_path) -> None:
    table = replace(
        TABLE,
        excluded={"e": "no TEM"},
        second={"a": 1},
        mixed={"a": ("A", "B")},
        mixed_policy="soft",
        people={"a": "z", "b": "z"},
        texts=(LabelCount("a", "A", 2, 2), LabelCount("?", None, 1, 0)),
        lacking={"c": {"IM": "no slide"}},
    )
    (tmp_path / "folds.json").write_text(json.dumps(table.to_mapping()))
    assert read_folds(tmp_path) == table


def test_reading_checks_the_split(tmp_path) -> None:
    (tmp_path / "folds.json").write_text(json.dumps(with_fold(0, train=("a", "c")).to_mapping()))
    with pytest.raises(NephroscaleError, match="on more than one side"):
        read_folds(tmp_path)


def test_a_fold_is_found_by_its_name() -> None:
    assert TABLE.fold("1").test == ("c", "d")
    with pytest.raises(NephroscaleError, match="0 folds named '7'"):
        TABLE.fold("7")
