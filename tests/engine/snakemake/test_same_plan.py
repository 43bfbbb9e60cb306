"""The plan that Snakemake makes with the shortcuts is the one that it makes without them."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from nephroscale.engine.prepass import settle
from support.mock_study import ROOT, Study

PLANNED = ROOT / "tests/support/planned_jobs.py"
MODELS = {"cmusnet": {}, "tem-only": {"modalities": ["TEM"]}}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A mock study of nine patients, with everything made."""
    folder = tmp_path_factory.mktemp("study") / "made"
    folder.mkdir()
    study = Study.make(folder, models=MODELS)
    for name in ("scripts", "resources"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "workflow", folder / "workflow")
    return study


def nothing_made(folder):
    shutil.rmtree(folder / "store", ignore_errors=True)
    shutil.rmtree(folder / yaml.safe_load((folder / "config.yaml").read_text())["results"], ignore_errors=True)


def everything_made(folder):
    pass


def one_image_changed(folder):
    image = sorted((folder / "raw").rglob("*OM0.png"))[0]
    image.write_bytes(image.read_bytes() + b"changed")


def one_image_gone(folder):
    next((folder / "raw").rglob("*TEM*.png")).unlink()


def plan(folder, way, arguments):
    """The planned jobs, and what is printed after the logo of time stamps."""
    output = folder.parent / f"{folder.name}-{way}.json"
    command = [sys.executable, PLANNED, output, way, "--configfile", "config.yaml", "--cores", "2", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    run = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, check=False)
    printed = [line for line in run.stdout.splitlines() + run.stderr.splitlines() if "log:" not in line]
    return (json.loads(output.read_text()) if output.exists() else None), printed, run.returncode


CASES = [
    (nothing_made, ["-n", "all"]),
    (nothing_made, ["all"]),
    (nothing_made, ["-n", "-p", "--logger", "plain", "--", "all"]),
    (nothing_made, ["-n", "--groups", "tile_slide=a", "find_glomeruli=a", "--group-components", "a=4", "--", "all"]),
    (nothing_made, ["-n", "--set-resources", "tile_slide:mem_mb=attempt*3000+len(wildcards.image)", "--", "features"]),
    (nothing_made, ["-n", "--set-resources", "tile_slide:runtime=max(7,attempt)", "--set-threads", "tile_slide=1", "--", "all"]),
    (nothing_made, ["-n", "--default-resources", "mem_mb=attempt*2", "--", "tiles"]),
    (nothing_made, ["-n", "results/demo/features/P000001-TEM.json"]),
    (nothing_made, ["-n", "--until", "tile_slide", "--", "all"]),
    (nothing_made, ["-n", "--omit-from", "make_folds", "--", "all"]),
    (nothing_made, ["-n", "--prioritize", "results/demo/tiles/P000001-OM0.json", "--", "all"]),
    (everything_made, ["-n", "all"]),
    (everything_made, ["-n", "-F", "all"]),
    (everything_made, ["-n", "--forcerun", "tile_slide", "--", "all"]),
    (everything_made, ["-n", "--forcerun", "results/demo/features/P000001-TEM.json", "--", "all"]),
    (everything_made, ["--forcerun", "prepare_tem", "--", "all"]),
    (everything_made, ["-n", "--rerun-triggers", "mtime", "code", "input", "params", "--", "all"]),
    (one_image_changed, ["-n", "all"]),
    (one_image_changed, ["all"]),
]


@pytest.mark.parametrize(("change", "arguments"), CASES, ids=lambda each: getattr(each, "__name__", None) or " ".join(each))
def test_the_plan_is_the_same_with_and_without_the_shortcuts(study, tmp_path, change, arguments):
    found = {}
    for way in ("plain", "quick"):
        folder = tmp_path / "study"
        shutil.copytree(study.folder, folder, symlinks=True)
        change(folder)
        found[way] = plan(folder, way, arguments)
        (tmp_path / "study").rename(tmp_path / way)
    jobs, _, code = found["plain"]
    assert code == 0, found["plain"][1]
    assert jobs
    if change is nothing_made:
        assert {job["rule"] for job in jobs if job["runs"]} >= {"tile_slide"}
    assert found["quick"][0], found["quick"][1]
    for before, after in zip(jobs, found["quick"][0], strict=True):
        assert before == after
    if "-n" in arguments:
        assert sorted(found["plain"][1]) == sorted(found["quick"][1])
    assert found["quick"][2] == code
