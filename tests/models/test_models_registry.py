"""Families by name."""

import subprocess
import sys

import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.models.registry import FAMILIES, build, modules_of


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
