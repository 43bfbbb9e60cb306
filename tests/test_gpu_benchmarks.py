"""The programs that check a GPU (benchmarks/gpu), as far as a CPU can run them."""

from __future__ import annotations

import os
import subprocess
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("torch")

if TYPE_CHECKING:
    from collections.abc import Iterator

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
#: Stands for Python in run.sh: writes down its arguments, fails where `FAIL` occurs in them, and has nothing to do.
PYTHON = """#!/bin/bash
echo "$*" >> called
[[ "$*" == *"$FAIL"* ]] && exit 3
echo "$SAY"
"""


@pytest.fixture(autouse=True)
def _import_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.syspath_prepend(str(BENCHMARKS / "gpu"))
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("default")


def run(folder: Path, *, fail: str = "no such argument", say: str = "Nothing to be done") -> tuple[int, str, list[str]]:
    """Run run.sh with a stand-in for Python: its exit status, its output and the calls of Python."""
    python = folder / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    (folder / "results/tiny/train/cmusnet").mkdir(parents=True)
    (folder / "results/tiny/train/cmusnet/0-1.json").touch()
    environment = {**os.environ, "FAIL": fail, "SAY": say}
    command = ["bash", str(BENCHMARKS / "gpu/run.sh"), str(python)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout, (folder / "called").read_text().splitlines()


def test_all_parts_are_run_and_succeed(tmp_path: Path) -> None:
    status, output, called = run(tmp_path)
    assert status == 0, output
    assert len(called) == output.count("==") == 11
    root = BENCHMARKS.parent
    files = {word for call in called for word in call.split() if word.endswith((".py", ".yaml"))}
    assert [name for name in files if not (root / name).is_file()] == []


@pytest.mark.parametrize(
    ("fail", "part"),
    [
        ("cuda.yaml -- all", "tiny cohort"),
        ("-- evaluate", "all families"),
        ("fine_tuning.py", "fine-tuning"),
        ("train/cmusnet/0-1.json", "replay of a training"),
        ("features/P01-TEM", "replay of features"),
    ],
)
def test_a_part_that_fails_is_named_and_decides_the_exit_status(tmp_path: Path, fail: str, part: str) -> None:
    status, output, called = run(tmp_path, fail=fail)
    assert status == 1
    assert f"!! {part}: exit status 3" in output
    assert len(called) == 11  # the others are run


def test_a_second_run_that_computes_is_a_fault(tmp_path: Path) -> None:
    status, output, _ = run(tmp_path, say="Finished.")
    assert status == 1
    assert "!! tiny cohort again: this was not idle" in output


@pytest.mark.slow
def test_the_encoder_benchmark_can_be_imported() -> None:
    pytest.importorskip("transformers")
    import encoders

    assert encoders.__file__ == str(BENCHMARKS / "gpu/encoders.py")


@pytest.mark.slow
def test_trainings_of_the_fine_tuning_benchmark_write_equal_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import fine_tuning

    assert fine_tuning.check_bytes(tmp_path / "equal", "cpu", pixels=False)
    assert capsys.readouterr().out.count(": equal") == 4
    train, calls = fine_tuning.train_fold, []

    def other_seed(*given: Any, **named: Any) -> Any:
        calls.append(given[1].name)
        return train(*given, seed=2 if given[1].name == "again" else 1, **named)

    monkeypatch.setattr(fine_tuning, "train_fold", other_seed)
    assert not fine_tuning.check_bytes(tmp_path / "different", "cpu", pixels=False)
    assert calls == ["recorded", "again", "plain", "resumed", "resumed"]
    assert "features, again: DIFFERENT" in capsys.readouterr().out


def test_rounding_beyond_the_bound_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import fine_tuning

    for found, within in ((0.001, 0.01), True), ((0.005, 0.01), False), ((0.001, 0.2), False), ((0.0, 0.0), False):
        monkeypatch.setattr(fine_tuning, "rounding", lambda *_, found=found: found)
        assert fine_tuning.check_rounding("cpu") is within


def test_different_losses_of_plain_and_recorded_steps_end_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    import mil_step

    class Form:
        def __init__(self, name: str, _: Namespace) -> None:
            self.loss = {"plain": 1.0, "recorded": 1.0 + 1e-7}[name]

        def __call__(self) -> float:
            return self.loss

    monkeypatch.setattr(mil_step, "Form", Form)
    with pytest.raises(SystemExit, match="plain and recorded steps differ"):
        mil_step.compare(Namespace(device="cpu", forms="plain,recorded", encoder="swin", size=224))
