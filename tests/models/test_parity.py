"""`variant: released` compared with numbers from the authors' code, for all cases of resources/parity."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from support import parity

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
def cases(root: Path) -> Path:
    return root / "resources/parity"


def load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def test_every_parity_case_is_tested(cases: Path) -> None:
    assert sorted(path.stem for path in cases.glob("*.npz")) == CASES


@pytest.mark.parametrize("name", CASES)
def test_case(name: str, cases: Path) -> None:
    errors = parity.compare(load(cases / f"{name}.npz"))
    measured = {"selection", "finite"} if name == "lone_neighbour" else {"selection", "outputs", "losses", "gradients"}
    assert measured <= set(errors)
    assert max(errors.values()) <= 1, errors


def test_the_default_variant_differs_where_the_released_code_errs(cases: Path) -> None:
    case = load(cases / "outlier_before.npz")
    logits = parity.network_of(case, "default")(parity.batch_of(case)).logits
    assert parity.excess(logits["TEM"].detach(), case["out/TEM"], 1e-5) > 1


@pytest.mark.slow
def test_the_command_fails_on_wrong_numbers(
    cases: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case = load(cases / "plain_5.npz")
    case["out/fusion"] = case["out/fusion"] + 1e-4
    np.savez(tmp_path / "wrong.npz", **case)
    monkeypatch.setattr(sys, "argv", ["parity.py", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(root / "benchmarks" / "parity.py"), run_name="__main__")
    assert end.value.code == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("worst: ")
