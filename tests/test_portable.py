"""Every stage gives the same bytes on this processor and on another maker's, which an emulator plays.

Report and audit are left out for their time in the emulator.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import pytest
import tifffile

from support.small_study import small_config, write_study

pytestmark = [pytest.mark.emulated, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = ("report", "audit")
#: Two patients of each class, as many as folds need, and one whose slide the segmenter learns from.
PATIENTS = [(f"P{k}", ("IgAN", "MN")[k % 2], "diagnosis") for k in range(4)] + [("S0", "IgAN", "segmentation")]
#: Images that the reduced study lacks: P1 and P3 are left with all modalities, and P0 with the slide on which the
#: segmenter searches.
NOT_READ = ("P0-IM", "P2-OM", "P2-IM")
#: The patient whose slide has JPEG tiles; the others are read by tifffile.
TILED = "P1"
#: Sides of the micrographs of patients with all modalities, and of the others: where marks and defects are looked for,
#: the time in the emulator grows with the number of pixels.
MICROGRAPH, SMALL_MICROGRAPH = (slice(96), slice(128)), (slice(72), slice(80))
DECIDING = ("register", "tiles", "segmenter", "glomeruli", "tem", "features", "train", "temperature", "evaluate")


def make_all(folder: Path, *emulator: str, whole: bool, parsed: Path | None = None) -> dict[str, str]:
    """Make every artifact in one process: its name to its digest, or to the reason why it was rejected.

    `parsed` is the folder of an earlier call, which has parsed the code.
    """
    write_study(folder, patients=PATIENTS)
    if parsed:
        shutil.copytree(parsed / "store/code", folder / "store/code")
    config = small_config()
    config["glomeruli"]["unet"] = {"width": 4, "steps": 2, "batch_size": 2, "patch_px": 64}
    config["tem"]["max_patches"] = 2
    if not whole:
        _reduce(folder, config)
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


def _reduce(folder: Path, config: dict[str, Any]) -> None:
    """Leave out what takes long in the emulator and shows nothing else: further images, and the number of pixels."""
    table = folder / "images.csv"
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if line.partition(",")[0] not in NOT_READ]
    assert len(lines) - len(kept) == len(NOT_READ)
    table.write_text("".join(kept), encoding="utf-8")
    for micrograph in (folder / "raw").glob("*-TEM.png"):
        lacks_modality = f"{micrograph.stem.removesuffix('-TEM')}-IM" in NOT_READ
        part = SMALL_MICROGRAPH if lacks_modality else MICROGRAPH
        cv2.imwrite(str(micrograph), cv2.imread(str(micrograph), cv2.IMREAD_UNCHANGED)[part])
    for slide in (folder / "raw").glob("*-OM.tif"):
        tiles = {"tile": (128, 128), "compression": "jpeg"} if slide.name == f"{TILED}-OM.tif" else {}
        tifffile.imwrite(slide, tifffile.imread(slide), photometric="rgb", **tiles)
    config["om"]["mpp"] = config["im"]["mpp"] = 2.0
    config["glomeruli"]["crop_px"] = 64
    config["features"]["encoders"] = {modality: {"size_px": 64} for modality in ("OM", "IM", "TEM")}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The folder and what is made natively of the whole study, or of the reduced one; each is made once."""
    folder = tmp_path_factory.mktemp("portable")
    return cache(lambda whole: (folder / str(whole), make_all(folder / str(whole), whole=whole)))


LATER = [
    pytest.param(name, True, marks=pytest.mark.long) for name in ("EPYC", "Haswell", "Skylake-Client", "EPYC-Milan")
]


@pytest.mark.parametrize(
    ("processor", "whole"),
    [("EPYC", False), *LATER],
    ids=lambda value: {True: "whole", False: "reduced"}.get(value, value),
)
def test_all_artifacts_are_equal_on_another_processor(here, processor, whole, tmp_path):
    emulator = shutil.which("qemu-x86_64")
    if emulator is None:
        pytest.skip("qemu-x86_64 is not installed: apt-get install qemu-user")
    folder, native = here(whole)
    there = make_all(tmp_path / "there", emulator, "-cpu", processor, whole=whole, parsed=folder)
    assert [name for name in native if there.get(name) != native[name]] == []
    assert there.keys() == native.keys()
    accepted = {name.partition("/")[0] for name, digest in native.items() if len(digest) == 64}
    assert set(DECIDING) <= accepted
