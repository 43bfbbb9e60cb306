"""Staging: a preset task, labels between two stages, and unmapped labels."""

import json

import pytest

from nephroscale.cohort.eligibility import EligibilitySettings, write_folds
from nephroscale.cohort.tasks import class_names
from nephroscale.engine.config import load_config
from nephroscale.errors import NephroscaleError
from support.cohort import load_tables

STAGES = ["I", "I", "I", "II", "II", "II", "III", "III", "III", "I-II", "I-II"]


@pytest.fixture
def staged(tmp_path):
    """Makes the configuration of a staging cohort: the task, and stages of more patients."""

    def make(task, *more):
        rows = [f"M{n:02d},{stage},MN" for n, stage in enumerate([*STAGES, *more], start=1)]
        (tmp_path / "patients.csv").write_text("\n".join(["patient_id,mn_stage,diagnosis", *rows]) + "\n")
        (tmp_path / "images.csv").write_text("image_id,patient_id,modality,path\nM01-T,M01,TEM,a.tif\n")
        data = {name: str(tmp_path / f"{name}.csv") for name in ("patients", "images")}
        return load_config({"data": data, "task": task, "folds": {"n_folds": 2}}).to_mapping()

    return make


def make_folds(config, tmp_path):
    cohort = load_tables(config)
    settings = EligibilitySettings.from_mapping(
        {
            "folds": config["folds"],
            "classes": list(cohort.classes),
            "min_per_class": 2,
            "permute_labels": config["task"]["permute_labels"],
            "meanings": config["task"]["classes"],
            "mixed": config["task"]["mixed"],
        }
    )
    rows = [p.row() for p in cohort.patients.values()]
    figures, parts = write_folds(rows, {}, settings, 1, tmp_path / "folds")
    return figures, parts, json.loads((tmp_path / "folds/folds.json").read_text())


def test_a_preset_task_is_chosen_by_name(staged):
    config = staged("mn_stage")
    assert config["task"]["label"] == "mn_stage"
    assert config["task"]["ordinal"] is True
    assert class_names(config["task"]["classes"]) == ("I", "II", "III")
    assert load_config(config).to_mapping() == config


def test_keys_beside_the_preset_take_precedence_and_texts_are_added(staged):
    config = staged({"preset": "mn_stage", "mixed": "soft", "classes": {"IV": "IV", "I-II": "exclude"}}, "IV", "IV")
    assert class_names(config["task"]["classes"]) == ("I", "II", "III", "IV")
    assert config["task"]["classes"]["I-II"] == "exclude"
    assert config["task"]["mixed"] == "soft"


def test_an_unknown_task_is_an_error_that_lists_the_known(staged):
    with pytest.raises(NephroscaleError, match="mn_stage"):
        staged("mn_stages")


def test_an_unmapped_label_is_an_error_with_its_count(staged):
    with pytest.raises(NephroscaleError, match=r"'IV' \(2\)"):
        load_tables(staged("mn_stage", "IV", "IV"))


@pytest.mark.parametrize(
    ("policy", "labels", "second"),
    [("lower", {"I"}, {None}), ("higher", {"II"}, {None}), ("soft", {"I"}, {"II"}), ("exclude", {None}, {None})],
)
def test_a_label_between_two_stages_follows_the_policy(staged, policy, labels, second):
    cohort = load_tables(staged({"preset": "mn_stage", "mixed": policy}))
    between = [cohort.patients["M10"], cohort.patients["M11"]]
    assert {p.label for p in between} == labels
    assert {p.second for p in between} == second
    assert {p.mixed for p in between} == {("I", "II")}
    assert {p.status for p in between} == {"exclude" if policy == "exclude" else "eligible"}


@pytest.mark.parametrize(
    ("classes", "ordinal", "message"),
    [
        ({"I": "I", "II": "II", "I-II": ["I", "II"]}, False, "task.ordinal"),
        ({"I": "I", "II": "II", "III": "III", "I-III": ["I", "III"]}, True, "not neighbours"),
        ({"I": "I", "II": "II", "II-I": ["II", "I"]}, True, "not neighbours"),
        ({"I": "I", "II": "II", "II-III": ["II", "III"]}, True, "III is none of the classes"),
    ],
)
def test_only_neighbouring_classes_of_an_ordinal_task_have_a_label_between_them(staged, classes, ordinal, message):
    with pytest.raises(NephroscaleError, match=message):
        staged({"label": "mn_stage", "classes": classes, "ordinal": ordinal})


def test_excluded_and_intermediate_labels_are_counted_in_the_folds(staged, tmp_path):
    task = {"preset": "mn_stage", "classes": {"IV": "exclude"}}
    figures, _, table = make_folds(staged(task, "IV"), tmp_path)
    assert set(table["excluded"]) == {"M10", "M11", "M12"} == set(figures["excluded"])
    assert "lies between I and II" in table["excluded"]["M10"]
    assert [(e["text"], e["meaning"], e["patients"], e["in_folds"]) for e in table["texts"]] == [
        ("I", "I", 3, 3),
        ("I-II", "I or II (exclude)", 2, 0),
        ("II", "II", 3, 3),
        ("III", "III", 3, 3),
        ("IV", "exclude", 1, 0),
    ]


def test_soft_labels_are_in_the_folds_and_affect_the_training(staged, tmp_path):
    figures, soft, table = make_folds(staged({"preset": "mn_stage", "mixed": "soft"}), tmp_path)
    assert table["second"] == {"M10": 1, "M11": 1}
    assert figures["mixed"] == {"policy": "soft", "patients": {"M10": ["I", "II"], "M11": ["I", "II"]}}
    (tmp_path / "other").mkdir()
    _, hard, _ = make_folds(staged({"preset": "mn_stage", "mixed": "lower"}), tmp_path / "other")
    assert soft.keys() == hard.keys()
    assert all(soft[key] != hard[key] for key in soft)


def test_a_permuted_label_keeps_its_second_class(staged, tmp_path):
    _, _, table = make_folds(staged({"preset": "mn_stage", "mixed": "soft", "permute_labels": 3}), tmp_path)
    assert len(table["second"]) == 2
    assert all(table["labels"][patient] == 0 and other == 1 for patient, other in table["second"].items())
