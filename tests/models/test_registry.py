"""Families by name."""

import subprocess
import sys
from dataclasses import fields

import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.models.registry import FAMILIES, build, config_of, modules_of, select_modalities
from nephroscale.models.settings import ModelSettings

SHAPES = {"TEM": (7, 7, 8), "OM": (7, 7, 8), "IM": (7, 7, 8)}


def test_modules_for_recipes() -> None:
    assert modules_of(ModelSettings()) == ["nephroscale.models.cmusnet"]
    assert modules_of(ModelSettings(options={"encoder": {"name": "small-cnn"}})) == [
        "nephroscale.models.cmusnet",
        "nephroscale.models.encoders.small_cnn",
    ]


def test_families_are_imported_lazily() -> None:
    code = "import sys, nephroscale.models.registry as r; print(any(m in sys.modules for m in r.FAMILIES.values()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_an_unknown_family_is_an_error() -> None:
    with pytest.raises(NephroscaleError, match="no family of networks 'resnet'"):
        modules_of(ModelSettings("resnet"))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_settings_with_documented_defaults(family: str) -> None:
    config = config_of(family)
    keys = config.schema()["properties"]
    assert keys.keys() == {key.name for key in fields(config)}
    assert all(key["description"] for key in keys.values())
    assert not keys.keys() & {key.name for key in fields(ModelSettings)}
    assert config.from_mapping(config().to_mapping()) == config()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_network_is_built_from_the_defaults(family: str) -> None:
    network = build(ModelSettings(family), SHAPES, 3, slots=2)
    assert network.reads_slots == (".mil." not in FAMILIES[family])


def test_a_key_of_another_family_is_an_error() -> None:
    with pytest.raises(TypeError, match="no key smil_threshold"):
        build(ModelSettings("abmil", options={"smil_threshold": 2.0}), SHAPES, 3)


def test_modalities_are_selected_in_the_fixed_order() -> None:
    assert list(select_modalities(SHAPES, ["IM", "TEM"])) == ["TEM", "IM"]
    with pytest.raises(NephroscaleError, match="No patient has features of IM"):
        select_modalities({"TEM": (7, 7, 8)}, ["TEM", "IM"])


def test_the_registry_imports_no_torch() -> None:
    code = "import sys; from nephroscale.models import registry; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
