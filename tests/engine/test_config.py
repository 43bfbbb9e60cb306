"""The configuration: defaults, numbers written as texts, faults and their messages."""

import copy
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from nephroscale.cohort.schemas import read_schema
from nephroscale.commands.run import read_config
from nephroscale.engine.config import Config, load_config
from nephroscale.engine.config_completion import families_of
from nephroscale.errors import NephroscaleError, name_files
from nephroscale.features.settings import EncoderSettings
from nephroscale.models.registry import FAMILIES
from nephroscale.models.settings import COMMON_KEYS, ModelSettings
from nephroscale.training.settings import PAPER, TrainSettings

LEAST: dict[str, Any] = {
    "data": {"patients": "patients.csv", "images": "images.csv"},
    "task": {"classes": {"a": "IgAN", "b": "MN"}},
}


def config(**sections: Any) -> dict[str, Any]:
    return copy.deepcopy(LEAST) | sections


def faults(mapping: dict[str, Any]) -> list[str]:
    with pytest.raises(NephroscaleError) as error:
        load_config(mapping)
    return [line.removeprefix("  - ") for line in error.value.what.splitlines()[1:]]


def test_defaults_are_filled_at_every_depth() -> None:
    filled = load_config(LEAST)
    assert (filled.data.root, filled.data.instruments) == (".", None)
    assert EncoderSettings("texture", None, None, None, 224) == filled.features.encoders.TEM
    assert filled.models["cmusnet"].options["loss_weights"] == {"OM": 0.3, "IM": 0.5, "TEM": 0.2, "ordinal": 0.5}
    assert filled.models["cmusnet"].options["encoder"] is None
    assert (filled.folds.scheme, filled.folds.n_folds, filled.folds.validation_fraction) == ("stratified", 5, 0.2)


def test_the_configuration_has_every_key_of_the_schema() -> None:
    filled = load_config(LEAST).to_mapping()
    schema = read_schema("config")
    assert set(filled) == set(schema["properties"])
    for name, section in schema["properties"].items():
        if "properties" in section:
            assert set(filled[name]) == set(section["properties"])


def test_defaults_of_the_schema_and_of_the_classes_agree() -> None:
    filled = load_config(LEAST)
    least = Config.from_mapping({**LEAST, "models": filled.to_mapping()["models"]})
    assert least == filled


def test_loading_again_changes_nothing() -> None:
    models = {"a": {"train": {"epochs": 3}}, "b": {"encoder": {"width": 16}}, "c": {"family": "abmil"}}
    classes = {"I": "I", "II": "II", "I-II": ["I", "II"]}
    filled = load_config(config(models=models, task={"classes": classes, "ordinal": True}))
    assert load_config(filled.to_mapping()) == filled


def test_the_mapping_given_stays_as_it_is() -> None:
    given = config(om={"mpp": "1"})
    before = copy.deepcopy(given)
    load_config(given).to_mapping()["task"]["classes"]["c"] = "LN"
    assert given == before


def test_defaults_are_not_shared_between_calls() -> None:
    load_config(LEAST).to_mapping()["om"]["stains"].append("X")
    load_config(LEAST).models["cmusnet"].options["loss_weights"]["OM"] = 7  # type: ignore[index]
    assert "X" not in load_config(LEAST).om.stains
    assert load_config(LEAST).models["cmusnet"].options["loss_weights"]["OM"] == 0.3


def test_texts_become_numbers() -> None:
    filled = load_config(
        config(
            seed="3",
            store={"verify_on_read": "true"},
            om={"mpp": "5e-1", "tile_px": "128"},
            task={"classes": {"a": "x", "b": "y"}, "permute_labels": "7"},
            train={"seeds": ["1", "2"], "learning_rate": "5e-5"},
        )
    )
    assert filled.seed == 3
    assert filled.store.verify_on_read is True
    assert (filled.om.mpp, filled.om.tile_px) == (0.5, 128)
    assert filled.task.permute_labels == 7
    assert filled.train.seeds == (1, 2)
    assert filled.train.learning_rate == 5e-5


def test_equal_numbers_are_equal_however_written() -> None:
    whole, broken = load_config(config(om={"mpp": 1})), load_config(config(om={"mpp": 1.0, "tile_px": 256.0}))
    assert repr(whole) == repr(broken)


def test_a_heading_without_keys_means_the_defaults() -> None:
    filled = load_config(config(store=None, models={"om-only": None}))
    assert filled.store.path == "store"
    assert filled.models["om-only"].family == "cmusnet"


def test_a_model_overrides_single_keys_of_the_training() -> None:
    filled = load_config(config(models={"a": {"train": {"epochs": "3"}}}, train={"batch_size": 2}))
    assert filled.models["a"].train == {"epochs": 3}
    training = filled.models["a"].training(filled.train)
    assert (training.epochs, training.batch_size, training.seeds) == (3, 2, (1,))


def test_the_preset_of_the_paper_serves_the_study_or_one_model() -> None:
    paper = {"preset": "paper", "epochs": 3}
    whole = load_config(config(train=paper)).train
    assert (whole.learning_rate, whole.patience, whole.epochs, whole.standardise) == (5e-5, 40, 3, False)
    filled = load_config(config(models={"tuned": {"train": paper}, "frozen": None}))
    rates = {name: model.training(filled.train).learning_rate for name, model in filled.models.items()}
    assert rates == {"tuned": 5e-5, "frozen": TrainSettings().learning_rate}
    with pytest.raises(NephroscaleError, match="preset"):
        load_config(config(train={"preset": "papers"}))


def test_the_configuration_for_fine_tuning_has_the_papers_training_over_any_study() -> None:
    root = Path(__file__).resolve().parents[2] / "config"
    files = [root / "tiny.yaml", root / "fine_tuning.yaml"]  # the former sets keys of `train`
    filled = load_config(read_config(Namespace(configfile=files, config=None)))
    model = filled.models["cmusnet"]
    training = model.training(filled.train)
    paper = TrainSettings.from_mapping({**PAPER, "preset": "paper"})
    assert {key: getattr(training, key) for key in PAPER} == {key: getattr(paper, key) for key in PAPER}
    assert model.modalities == ("TEM", "OM", "IM")
    assert (model.options["encoder"]["name"], model.options["encoder"]["trainable"]) == ("swin-b", "all")
    encoders = filled.features.encoders
    assert {each.name for each in (encoders.TEM, encoders.OM, encoders.IM)} == {"pixels"}
    assert filled.compute.device == "cuda"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_has_the_keys_of_its_family_and_no_others(family: str) -> None:
    model = load_config(config(models={"a": {"family": family}})).models["a"]
    own = set(families_of(read_schema("config"))[family]["properties"]) - set(COMMON_KEYS)
    assert set(model.options) == own
    assert ModelSettings.from_mapping(model.to_mapping()) == model


def test_a_key_of_another_family_is_an_error() -> None:
    models = {
        "a": {"family": "abmil", "smil_threshold": 2.0, "masking": None},
        "b": {"family": "abmill"},
        "c": {"gated": True},
        "d": {"family": "transmil", "head": 2},
        "e": {"family": 3},
    }
    messages = faults(config(models=models))
    for expected in (
        "models.a.smil_threshold: the family abmil does not read this key; it reads attention_width,",
        "models.a.masking: the family abmil does not read this key",
        "models.b.family: there is no family 'abmill'; did you mean `abmil`?",
        "models.c.gated: the family cmusnet does not read this key",
        "models.d.head: unknown key; did you mean `heads`?",
        "models.e.family: 3 is a number, but has to be a text",
    ):
        assert any(line.startswith(expected) for line in messages), (expected, messages)
    assert len(messages) == 6


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        (
            {"compute": {"instruction_set": "AVX2"}},
            "compute.instruction_set: AVX2 is now `portable`, for all libraries and processors.",
        ),
        ({"folds": {"count": 2}}, "folds.count is now called folds.n_folds."),
        ({"train": {"batch": 4}}, "train.batch is now called train.batch_size."),
        (
            {"models": {"a": {"train": {"flips": False}}}},
            "models.a.train.flips is now called models.a.train.random_flips.",
        ),
        ({"models": {"a": {"threshold": 2}}}, "models.a.threshold is now called models.a.smil_threshold."),
        ({"glomeruli": {"width": 8}}, "glomeruli.width is now called glomeruli.unet.width."),
        ({"glomeruli": {"batch": 8}}, "glomeruli.batch is now called glomeruli.unet.batch_size."),
        ({"report": {"bootstrap": 9}}, "report.bootstrap is now called report.swaps."),
        ({"om": {"reference": "cohort"}}, "om.reference is now called om.reference_file; leave it out for `cohort`."),
        (
            {"tem": {"burned_in": "keep"}},
            "tem.burned_in is now called tem.remove_marks: true for `remove`, false for `keep`.",
        ),
        (
            {"features": {"encoders": {"OM": {"name": "h5", "weights": "bags"}}}},
            "features.encoders.OM.weights of the encoder `h5` is now called features.encoders.OM.h5_folder.",
        ),
        (
            {"recompute": "tem"},
            "recompute is not a key any more: `snakemake --forcerun RULE` computes a stage again.",
        ),
    ],
)
def test_a_former_key_names_its_replacement(sections: dict[str, Any], expected: str) -> None:
    assert faults(config(**sections)) == [expected]


def test_all_faults_are_listed_at_once() -> None:
    messages = faults(
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
        assert any(line.startswith(expected) for line in messages), (expected, messages)
    assert len(messages) == 13


@pytest.mark.parametrize("value", [float("nan"), float("inf"), ".inf", "1e999"])
def test_numbers_are_finite(value: object) -> None:
    assert any(line.startswith("om.mpp") for line in faults(config(om={"mpp": value})))


def test_a_truth_value_is_no_number() -> None:
    assert faults(config(seed=True)) == ["seed: True is a truth value, but has to be a whole number."]


def test_a_model_that_is_no_mapping_is_one_fault() -> None:
    assert faults(config(models={"cmusnet": True})) == [
        "models.cmusnet: True is a truth value, but has to be a mapping of keys."
    ]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"task": {"classes": {"a": "MN", "b": "exclude"}}}, "task.classes: maps to 1 class (MN)"),
        (
            {"task": {"classes": {"a": "MN", "b": "IgAN", "c": "Exclude"}}},
            "task.classes.c: 'Exclude' is written 'exclude'",
        ),
        ({"task": {"label": "use", "classes": {"a": "MN", "b": "IgAN"}}}, "task.label: 'use'"),
        ({"task": {"classes": {"a": "MN", " a": "IgAN", "b": "LN"}}}, "task.classes.a: given twice"),
        (
            {"task": {"classes": {"a": "MN", "b": "IgAN", "c": ["MN", "IgAN", "LN"]}, "ordinal": True}},
            "task.classes.c: ['MN', 'IgAN', 'LN'] has more than 2 entries.",
        ),
        ({"om": {"stains": ["PAS", "PAS"]}}, "om.stains: PAS is named twice."),
        (
            {"report": {"headline": "cmus"}},
            "report.headline: there is no model 'cmus' under models; did you mean `cmusnet`?",
        ),
        (
            {"report": {"primary": {"contrasts": ["om-onli"], "date": "2026-01-01"}}},
            "report.primary.contrasts: there is no model 'om-onli' under models",
        ),
        (
            {"report": {"primary": {"contrasts": ["cmusnet"], "date": "2026-01-01"}}},
            "report.primary.contrasts: cmusnet is",
        ),
        ({"report": {"prevalences": {"MN": 1.0}}}, "report.prevalences: give a share for each class"),
        ({"folds": {"left_out_sites": 1}}, "folds.left_out_sites: 1 leaves no site"),
        (
            {"folds": {"left_out_sites": 2, "scheme": "leave_one_site_out"}},
            "folds.left_out_sites: the scheme leave_one_site_out already",
        ),
        (
            {"folds": {"repeats": 2, "scheme": "leave_one_site_out"}},
            "folds.repeats: leaving one site out gives the same",
        ),
        ({"folds": {"repeats": 2}, "tem": {"prior": "deposits"}}, "folds.repeats: there are no priors of deposits"),
        ({"folds": {"left_out_sites": 2}, "tem": {"prior": "deposits"}}, "folds.left_out_sites: there are no priors"),
        ({"report": {"action": {"name": "steroids"}}}, "report.action.classes: name some, and not all, of"),
        ({"glomeruli": {"min_diameter_um": 500}}, "glomeruli.min_diameter_um: has to be less"),
    ],
)
def test_keys_that_contradict_each_other(sections: dict[str, Any], message: str) -> None:
    assert [line[: len(message)] for line in faults(config(**sections))] == [message]


def test_a_primary_endpoint_has_a_date_and_fits_the_task() -> None:
    models = {"cmusnet": {}, "om": {"modalities": ["OM"]}}
    primary = {"contrasts": ["om"], "metric": "quadratic_kappa", "date": "soon"}
    found = faults(config(models=models, report={"primary": primary}))
    assert [line.split(":")[0] for line in found] == ["report.primary.date", "report.primary.metric"]
    declared = {"contrasts": ["om"], "date": "2026-01-01"}
    assert load_config(config(models=models, report={"primary": declared})).report.primary.contrasts == ("om",)


def test_no_mapping_at_all() -> None:
    with pytest.raises(NephroscaleError, match="not a mapping"):
        load_config(["data"])  # type: ignore[arg-type]


def test_label_texts_are_compared_as_cells_are_read() -> None:
    task = load_config(config(task={"classes": {" cafe\u0301 ": "MN", "b": "LN"}})).task
    assert list(task.classes) == ["caf\u00e9", "b"]


@pytest.mark.parametrize("name", ["config", "patients", "images", "instruments"])
def test_the_schemas_are_valid(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(read_schema(name))


def test_the_configuration_is_light_to_import() -> None:
    heavy = "{'numpy', 'pandas', 'jsonschema', 'openpyxl', 'torch', 'sklearn'} & set(sys.modules)"
    modules = "nephroscale.cohort.tables, nephroscale.engine.config"
    code = f"import sys, {modules}; sys.exit(bool({heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_home_folder_is_expanded_in_every_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/nephro")
    data = {"patients": "~/p.csv", "images": "~/i.csv", "root": "~/raw"}
    encoders = {"OM": {"name": "swin-b", "weights": "~/w"}}
    filled = load_config(config(data=data, store={"path": "~/store"}, features={"encoders": encoders}))
    assert (filled.data.patients, filled.data.root) == ("/home/nephro/p.csv", "/home/nephro/raw")
    assert (filled.store.path, filled.features.encoders.OM.weights) == ("/home/nephro/store", "/home/nephro/w")


def test_a_fault_names_the_files_of_the_configuration_where_they_are_known() -> None:
    with pytest.raises(NephroscaleError) as error:
        load_config(config(seed=-1))
    assert "\n  where: configuration\n" in str(error.value)
    assert "\n  where: a.yaml and b.yaml\n" in name_files(str(error.value), ["a.yaml", "b.yaml"])
    assert name_files(str(error.value), []) == str(error.value)
