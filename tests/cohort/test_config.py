import copy
from typing import Any

import jsonschema
import pytest

from nephroscale.cohort.config import class_names, load_config
from nephroscale.cohort.schemas import read_schema
from nephroscale.errors import NephroscaleError

LEAST: dict[str, Any] = {
    "data": {"patients": "patients.csv", "images": "images.csv"},
    "task": {"classes": {"a": "IgAN", "b": "MN"}},
}


def config(**sections: Any) -> dict[str, Any]:
    return copy.deepcopy(LEAST) | sections


def faults(mapping: dict[str, Any]) -> list[str]:
    with pytest.raises(NephroscaleError) as told:
        load_config(mapping)
    return [line.removeprefix("  - ") for line in told.value.what.splitlines()[1:]]


def test_defaults_are_filled_at_every_depth() -> None:
    filled = load_config(LEAST)
    assert filled["data"] == {"root": ".", "patients": "patients.csv", "images": "images.csv", "instruments": None}
    assert filled["features"]["encoders"]["TEM"] == {"name": "texture", "weights": None, "digest": None, "size_px": 224}
    assert filled["models"]["cmusnet"]["loss_weights"] == {"OM": 0.3, "IM": 0.5, "TEM": 0.2, "ordinal": 0.5}
    assert filled["models"]["cmusnet"]["encoder"] is None
    assert filled["folds"] == {"scheme": "stratified", "count": 5, "validation": 0.2}


def test_every_key_of_the_schema_is_filled() -> None:
    filled = load_config(LEAST)
    schema = read_schema("config")
    assert set(filled) == set(schema["properties"])
    for name, section in schema["properties"].items():
        if "properties" in section:
            assert set(filled[name]) == set(section["properties"])


def test_loading_again_changes_nothing() -> None:
    filled = load_config(config(models={"a": {"train": {"epochs": 3}}, "b": {"encoder": {"width": 16}}}))
    assert load_config(filled) == filled


def test_the_mapping_given_stays_as_it_is() -> None:
    given = config(om={"mpp": "1"})
    before = copy.deepcopy(given)
    load_config(given)["task"]["classes"]["c"] = "LN"
    assert given == before


def test_defaults_are_not_shared_between_calls() -> None:
    load_config(LEAST)["om"]["stains"].append("X")
    assert "X" not in load_config(LEAST)["om"]["stains"]


def test_texts_become_the_numbers_they_stand_for() -> None:
    filled = load_config(
        config(
            seed="3",
            store={"verify_on_read": "true"},
            om={"mpp": "5e-1", "tile_px": "128"},
            task={"classes": {"a": "x", "b": "y"}, "permute_labels": "7"},
            train={"seeds": ["1", "2"], "learning_rate": "5e-5"},
        )
    )
    assert filled["seed"] == 3
    assert filled["store"]["verify_on_read"] is True
    assert (filled["om"]["mpp"], filled["om"]["tile_px"]) == (0.5, 128)
    assert filled["task"]["permute_labels"] == 7
    assert filled["train"]["seeds"] == [1, 2]
    assert filled["train"]["learning_rate"] == 5e-5


def test_equal_numbers_are_equal_however_written() -> None:
    whole, broken = load_config(config(om={"mpp": 1})), load_config(config(om={"mpp": 1.0, "tile_px": 256.0}))
    assert repr(whole) == repr(broken)


def test_a_heading_with_nothing_under_it_means_the_defaults() -> None:
    filled = load_config(config(store=None, models={"om-only": None}))
    assert filled["store"]["path"] == "store"
    assert filled["models"]["om-only"]["family"] == "cmusnet"


def test_a_model_overrides_only_what_it_names() -> None:
    filled = load_config(config(models={"a": {"train": {"epochs": "3"}}}))
    assert filled["models"]["a"]["train"] == {"epochs": 3}


def test_all_faults_are_told_at_once() -> None:
    told = faults(
        {
            "data": {"patient": "p.csv", "images": 3},
            "task": {"classes": {"a": "x", 1: "y"}},
            "om": {"mpp": "wide", "tile_px": 100, "stainz": []},
            "compute": {"device": "gpu", "threads": 0},
            "threads": 2,
            "models": {"Big": None, "a": {"variant": "relased", "train": {"epoch": 3}}},
        }
    )
    for expected in (
        "data.patient: unknown key; did you mean `patients`?",
        "data.patients: is missing and has no default; add it.",
        "data.images: 3 is a number, but has to be a text",
        "task.classes.1: YAML reads this key as int",
        "om.mpp: 'wide' is a text, but has to be a number.",
        "om.tile_px: 100 is not a multiple of 64.",
        "om.stainz: unknown key; did you mean `stains`?",
        "compute.device: 'gpu' is not one of cpu, cuda.",
        "compute.threads: 0 is less than 1.",
        "threads: unknown key; did you mean `compute.threads`?",
        "models: the name 'Big' does not fit",
        "models.a.variant: 'relased' is not one of default, released.",
        "models.a.train.epoch: unknown key; did you mean `epochs`?",
    ):
        assert any(line.startswith(expected) for line in told), (expected, told)
    assert len(told) == 13


@pytest.mark.parametrize("value", [float("nan"), float("inf"), ".inf", "1e999"])
def test_numbers_are_finite(value: object) -> None:
    assert any(line.startswith("om.mpp") for line in faults(config(om={"mpp": value})))


def test_a_truth_value_is_no_number() -> None:
    assert faults(config(seed=True)) == ["seed: True is a truth value, but has to be a whole number."]


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"task": {"classes": {"a": "MN", "b": "exclude"}}}, "task.classes: maps to 1 class (MN)"),
        (
            {"task": {"classes": {"a": "MN", "b": "IgAN", "c": "Exclude"}}},
            "task.classes.c: 'Exclude' is written 'exclude'",
        ),
        ({"task": {"label": "use", "classes": {"a": "MN", "b": "IgAN"}}}, "task.label: 'use'"),
        ({"task": {"classes": {"a": "MN", " a": "IgAN", "b": "LN"}}}, "task.classes.a: given twice"),
        ({"om": {"stains": ["PAS", "PAS"]}}, "om.stains: PAS is named twice."),
        (
            {"report": {"headline": "cmus"}},
            "report.headline: there is no model 'cmus' under models; did you mean `cmusnet`?",
        ),
        ({"glomeruli": {"minimum_diameter_um": 500}}, "glomeruli.minimum_diameter_um: has to be less"),
    ],
)
def test_keys_that_cannot_hold_together(sections: dict[str, Any], told: str) -> None:
    assert [line[: len(told)] for line in faults(config(**sections))] == [told]


def test_no_mapping_at_all() -> None:
    with pytest.raises(NephroscaleError, match="not a mapping"):
        load_config(["data"])  # type: ignore[arg-type]


def test_classes_come_in_the_order_of_first_mention() -> None:
    task = {"classes": {"V": "LN", "x": "exclude", "a": "IgAN", "IV": "LN", "y": "ambiguous"}}
    assert class_names(task) == ("LN", "IgAN")


def test_label_texts_are_compared_as_cells_are_read() -> None:
    task = load_config(config(task={"classes": {" cafe\u0301 ": "MN", "b": "LN"}}))["task"]
    assert list(task["classes"]) == ["caf\u00e9", "b"]


@pytest.mark.parametrize("name", ["config", "patients", "images", "instruments"])
def test_the_schemas_are_schemas(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(read_schema(name))
