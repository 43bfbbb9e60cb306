"""What a job imports before it finds a cache hit."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.workflow

HEAVY = ("torch", "numpy", "scipy", "skimage", "zarr", "cv2", "sklearn", "openslide", "tifffile", "PIL", "matplotlib")
#: Each job is run in a process of its own, forked off one that has imported what all have, and none of HEAVY.
PROGRAM = """
import json, os, runpy, sys, types, yaml
from nephroscale.engine.awaited import receipts_of_input
from nephroscale.engine.plan import Plan
from nephroscale.stages.registry import stage_table

def run(rule, wildcards, stage, unit):
    config, stages = yaml.safe_load(open("config/tiny.yaml")), stage_table()
    plan = Plan(config, stages)
    receipts = {name: receipts_of_input(plan, stage, unit, name) for name in stages[stage].inputs}
    snakemake = types.SimpleNamespace(
        rule=rule, wildcards=wildcards, log=[f"results/tiny/logs/{stage}/{unit}.log"], config=config,
        input=types.SimpleNamespace(**receipts),
        output=types.SimpleNamespace(receipt=str(plan.receipt_path(stage, unit))),
        params=types.SimpleNamespace(settings=stages[stage].settings(plan, unit).to_mapping()),
    )
    runpy.run_path(f"scripts/{rule}.py", init_globals={"snakemake": snakemake})

for rule, wildcards, stage, unit in json.load(sys.stdin):
    child = os.fork()
    if not child:
        run(rule, wildcards, stage, unit)
        print("\\n" + json.dumps([stage, sorted({name.partition(".")[0] for name in sys.modules})]), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, stage
"""
JOBS = [
    ("register_patient", {"patient": "P01"}, "register", "P01"),
    ("fit_reference", {}, "reference", "cohort"),
    ("tile_slide", {"image": "P01-OM"}, "tiles", "P01-OM"),
    ("train_segmenter", {}, "segmenter", "cohort"),
    ("find_glomeruli", {"image": "P01-OM"}, "glomeruli", "P01-OM"),
    ("prepare_tem", {"patient": "P01"}, "tem", "P01"),
    ("extract_features", {"patient": "P01", "modality": "TEM"}, "features", "P01-TEM"),
    ("make_folds", {}, "folds", "cohort"),
    ("train_model", {"model": "cmusnet", "fold": "0", "seed": "1"}, "train", "cmusnet/fold0-seed1"),
    ("fit_temperature", {"model": "cmusnet", "fold": "0"}, "temperature", "cmusnet/fold0"),
    ("evaluate_model", {"model": "cmusnet", "fold": "0", "seed": "1"}, "evaluate", "cmusnet/fold0-seed1"),
    ("write_report", {}, "report", "cohort"),
    ("write_audit", {}, "audit", "cohort"),
]


@pytest.fixture(scope="module")
def hits(made, tmp_path_factory):
    """A copy of the finished project after all these jobs, and the packages that each had imported at its end."""
    project = made.copy_to(tmp_path_factory.mktemp("unchanged") / "project")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(JOBS),
        cwd=project.path,
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": str(project.path / "scripts")},
    )
    assert done.returncode == 0, done.stderr
    return project, dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith('["'))


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job[2])
def test_a_hit_imports_nothing_heavy(hits, job):
    project, modules = hits
    _, _, stage, unit = job
    log = (project.path / f"results/tiny/logs/{stage}/{unit}.log").read_text()
    assert f"{stage} of {unit}: cache hit, nothing to compute" in log
    assert set(modules[stage]) & set(HEAVY) == set()
    assert "nephroscale" in modules[stage]
