"""Families by name."""

import subprocess
import sys

import pytest
import torch

from nephroscale.cohort.config import config_schema, load_config
from nephroscale.errors import NephroscaleError
from nephroscale.models.registry import COMMON, FAMILIES, READS, build, modules_of


def test_modules_for_recipes() -> None:
    assert modules_of({}) == ["nephroscale.models.cmusnet"]
    assert modules_of({"family": "cmusnet", "encoder": {"name": "small-cnn"}}) == [
        "nephroscale.models.cmusnet",
        "nephroscale.models.encoders.small_cnn",
    ]


def test_families_are_imported_lazily() -> None:
    code = "import sys, nephroscale.models.registry as r; print(any(m in sys.modules for m in r.FAMILIES.values()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_family_builds() -> None:
    shapes = {"TEM": (7, 7, 8), "OM": (7, 7, 8), "IM": (7, 7, 8)}
    for family in FAMILIES:
        assert build({"family": family}, shapes, 3) is not None


def test_an_unknown_family_is_an_error() -> None:
    with pytest.raises(NephroscaleError, match="no family of networks 'resnet'"):
        modules_of({"family": "resnet"})


LEAST = {
    "data": {"patients": "patients.csv", "images": "images.csv"},
    "task": {"classes": {"a": "IgAN", "b": "MN"}},
}


def load(**models: object) -> dict:
    return load_config({**LEAST, "models": models}, READS, COMMON)["models"]


KEYS = set(config_schema()["$defs"]["model"]["properties"])


def test_every_key_of_the_schema_is_read_by_a_family() -> None:
    assert set(READS) == set(FAMILIES)
    assert {key for keys in READS.values() for key in keys} | set(COMMON) >= KEYS


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_gets_the_keys_that_it_reads_and_no_others(family: str) -> None:
    filled = load(a={"family": family})
    assert set(filled["a"]) == {*READS[family], *COMMON} & KEYS
    assert load(**filled) == filled, "loading again changes nothing"


def test_a_key_that_the_family_does_not_read_is_an_error() -> None:
    with pytest.raises(NephroscaleError) as told:
        load(a={"family": "abmil", "threshold": 2.0, "masking": None}, b={"family": "abmill"}, c={"gated": True})
    for line in (
        "models.a.threshold: the family abmil does not read this key; it reads attention_width,",
        "models.a.masking: the family abmil does not read this key",
        "models.b.family: there is no family 'abmill'; did you mean `abmil`?",
        "models.c.gated: the family cmusnet does not read this key",
    ):
        assert line in str(told.value)
    assert "models.a.gated" not in str(told.value)


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - {"cmusnet"}))
def test_a_network_left_to_itself_has_the_defaults_of_the_schema(family: str) -> None:
    shapes = {"TEM": (7, 7, 8), "OM": (7, 7, 8), "IM": (7, 7, 8)}
    settings = load(a={"family": family})["a"]
    torch.manual_seed(0)
    stated = build(settings, shapes, 3)
    torch.manual_seed(0)
    alone = build({"family": family}, shapes, 3)
    assert str(stated) == str(alone)
    plain = {key: value for key, value in vars(stated).items() if isinstance(value, int | float | str)}
    assert plain == {key: value for key, value in vars(alone).items() if isinstance(value, int | float | str)}


def test_loading_a_configuration_imports_no_torch() -> None:
    code = "import sys; from nephroscale.engine import plan; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
