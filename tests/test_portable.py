"""Every stage gives the same bytes on this processor and on another maker's, which an emulator plays.

Report and audit are left out for their time in the emulator.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.small_study import small_config, write_study

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = ("report", "audit")
#: Two patients of each class, as many as folds need, and one whose slide the segmenter learns from.
PATIENTS = [(f"P{k}", ("IgAN", "MN")[k % 2], "diagnosis") for k in range(4)] + [("S0", "IgAN", "segmentation")]
DECIDING = ("register", "tiles", "segmenter", "glomeruli", "tem", "features", "train", "temperature", "evaluate")


def make_all(folder: Path, *emulator: str) -> dict[str, str]:
    """Make every artifact in one process: its name to its digest, or to the reason why it was rejected."""
    write_study(folder, patients=PATIENTS)
    config = small_config()
    config["glomeruli"]["unet"] = {"width": 4, "steps": 2, "batch_size": 2, "patch_px": 64}
    config["tem"]["max_patches"] = 2
    config["train"] |= {"epochs": 2, "patience": 2}
    (folder / "config.json").write_text(json.dumps(config))
    command = [*emulator, sys.executable, "-m", "support.every_stage", str(folder), *LEFT_OUT]
    paths = os.pathsep.join([str(ROOT / "scripts"), str(ROOT / "tests")])
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": paths}, check=False, capture_output=True, text=True, timeout=1500
    )
    assert done.returncode == 0, done.stderr[-3000:]
    print(done.stderr)  # seconds of each stage
    made: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return made


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return make_all(tmp_path_factory.mktemp("portable") / "here")


@pytest.mark.slow
@pytest.mark.parametrize(
    "processor",
    ["EPYC", *(pytest.param(name, marks=pytest.mark.long) for name in ("Haswell", "Skylake-Client", "EPYC-Milan"))],
)
def test_all_artifacts_are_equal_on_another_processor(here, processor, tmp_path):
    emulator = shutil.which("qemu-x86_64")
    if emulator is None:
        pytest.skip("qemu-x86_64 is not installed: apt-get install qemu-user")
    there = make_all(tmp_path / "there", emulator, "-cpu", processor)
    assert [name for name in here if there.get(name) != here[name]] == []
    assert there.keys() == here.keys()
    accepted = {name.partition("/")[0] for name, digest in here.items() if len(digest) == 64}
    assert set(DECIDING) <= accepted
