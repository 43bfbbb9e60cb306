"""`variant: released` against the numbers of the authors' code: all cases of ../shared/parity."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

CASES = [
    "batch_mixed",
    "lone_neighbour",
    "outlier_after",
    "outlier_before",
    "plain_10",
    "plain_5",
    "tight_threshold",
    "truncates_12_to_10",
    "two_outliers",
]


@pytest.fixture(scope="module")
def parity(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("parity", root / "benchmarks" / "parity.py")
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def test_no_case_is_forgotten(shared: Path) -> None:
    assert sorted(path.stem for path in (shared / "parity").glob("*.npz")) == CASES


@pytest.mark.parametrize("name", CASES)
def test_case(name: str, shared: Path, parity: ModuleType) -> None:
    errors = parity.compare(load(shared / "parity" / f"{name}.npz"))
    measured = {"selection", "finite"} if name == "lone_neighbour" else {"selection", "outputs", "losses", "gradients"}
    assert measured <= set(errors)
    assert max(errors.values()) <= 1, errors


def test_the_default_variant_differs_where_the_released_code_errs(shared: Path, parity: ModuleType) -> None:
    case = load(shared / "parity" / "outlier_before.npz")
    logits = parity.network_of(case, "default")(parity.batch_of(case)).logits
    assert parity.excess(logits["TEM"].detach(), case["out/TEM"], 1e-5) > 1


def test_the_command_fails_on_wrong_numbers(shared: Path, root: Path, tmp_path: Path) -> None:
    case = load(shared / "parity" / "plain_5.npz")
    case["out/fusion"] = case["out/fusion"] + 1e-4
    np.savez(tmp_path / "wrong.npz", **case)
    command = [sys.executable, str(root / "benchmarks" / "parity.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("worst: ")
