"""What a job imports before it finds a cache hit."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.workflow

HEAVY = ("torch", "numpy", "scipy", "skimage", "zarr", "cv2", "sklearn", "openslide", "tifffile", "PIL", "matplotlib")
JOB = """
import json, runpy, sys, types, yaml
rule, wildcards, stage, unit = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3], sys.argv[4]
from nephroscale.engine.awaited import receipts_of_input
from nephroscale.engine.plan import Plan
from nephroscale.stages.registry import stage_table
config, stages = yaml.safe_load(open("config/tiny.yaml")), stage_table()
plan = Plan(config, stages)
snakemake = types.SimpleNamespace(
    rule=rule, wildcards=wildcards, log=[f"results/tiny/logs/{stage}/{unit}.log"], config=config,
    input=types.SimpleNamespace(**{name: receipts_of_input(plan, stage, unit, name) for name in stages[stage].inputs}),
    output=types.SimpleNamespace(receipt=str(plan.receipt_path(stage, unit))),
    params=types.SimpleNamespace(settings=stages[stage].settings(plan, unit).to_mapping()),
)
runpy.run_path(f"scripts/{rule}.py", init_globals={"snakemake": snakemake})
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
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
def unchanged(made, tmp_path_factory):
    """A copy of the finished project for all these jobs: a cache hit changes nothing but its log."""
    return made.copy_to(tmp_path_factory.mktemp("unchanged") / "project")


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job[2])
def test_a_hit_imports_nothing_heavy(unchanged, job):
    rule, wildcards, stage, unit = job
    done = subprocess.run(
        [sys.executable, "-c", JOB, rule, json.dumps(wildcards), stage, unit],
        cwd=unchanged.path,
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": str(unchanged.path / "scripts")},
    )
    assert done.returncode == 0, done.stderr
    modules = json.loads(done.stdout.splitlines()[-1])
    log = (unchanged.path / f"results/tiny/logs/{stage}/{unit}.log").read_text()
    assert f"{stage} of {unit}: cache hit, nothing to compute" in log
    assert set(modules) & set(HEAVY) == set()
