"""One job of a mock study: equal recipes at once, kills, uses of the test set, and a full disk."""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from nephroscale.engine.prepass import settle
from nephroscale.engine.snakemake.script import run_job
from nephroscale.stages.registry import stage_table
from nephroscale.store.folder import remove_tree
from nephroscale.store.records import Records

pytestmark = pytest.mark.slow

UNITS = ("one/fold0-seed1", "two/fold0-seed1")


def forget(study, stage):
    """As if a stage had never run."""
    for path in (study.folder / "store/records").glob("*/*.json"):
        if json.loads(path.read_text())["receipt"]["stage"] == stage:
            path.unlink()
    for path in (study.folder / "store/repeats").glob("*.json"):
        path.unlink()
    remove_tree(study.folder / "results" / stage)


def asked_for(plan, stage, unit):
    """The object `snakemake` of a script."""
    model, _, rest = unit.partition("/fold")
    fold, _, seed = rest.partition("-seed")
    return SimpleNamespace(
        rule=plan.stages[stage].rule,
        config=plan.config.to_mapping(),
        wildcards={"model": model, "fold": fold, "seed": seed, "patient": unit},
        log=[str(plan.log_path(stage, unit))],
    )


def run(plan, name, unit, make, **config):
    """Run the job of a unit whose stage makes its artifact by another function."""
    stage = copy.copy(plan.stages[name])
    stage.make = make
    request = asked_for(plan, name, unit)
    request.config |= config
    settings = stage.settings(plan, unit).to_mapping()
    receipt = str(plan.receipt_path(name, unit))
    run_job(stage, plan.stages, request, inputs=dict.fromkeys(stage.inputs), settings=settings, receipt=receipt)


def train(job):
    job.out.write_text("a network")
    return {"epochs": 3}


def test_equal_models_trained_at_once_agree_and_have_their_own_receipts(study):
    forget(study, "train")
    inner, outer = UNITS

    def train_meanwhile(job):
        run(study.plan(), "train", inner, train)
        return train(job)

    run(study.plan(), "train", outer, train_meanwhile)
    plan = study.plan()
    assert plan.recipe_digest("train", inner) == plan.recipe_digest("train", outer)
    assert [plan.receipt("train", unit).unit for unit in UNITS] == list(UNITS)
    assert [record.receipt.unit for record in plan.records.repeats()] == [outer]
    assert plan.records.conflicts() == []


def test_a_changed_record_is_ignored_and_its_unit_recomputed(study, capsys):
    plan = study.plan()
    unit = UNITS[0]
    path = plan.records.path(plan.recipe_digest("evaluate", unit))
    path.write_text(path.read_text().replace('"n": 1', '"n": 9'))
    plan = study.plan()
    settle(plan)
    assert plan.receipt("evaluate", unit) is None
    assert capsys.readouterr().err.count(str(path)) == 1
    made = []
    run(plan, "evaluate", unit, lambda job: made.append(job.unit) or train(job))
    assert made == [unit]
    plan = study.plan()
    settle(plan)
    assert plan.receipt("evaluate", unit).figures == {"epochs": 3}


def uses(study):
    return {path.name: json.loads(path.read_text()) for path in (study.folder / "store/test_sets").glob("*/*.json")}


def test_lost_test_set_uses_are_restored_from_records(study):
    assert uses(study) == {}  # as if jobs were killed right after their records were written
    settle(study.plan())
    kept = uses(study)
    assert len(kept) == 2  # a fold, as the two models are one configuration
    assert {json.dumps(use) for use in kept.values()} == {'{"first": "2026-01-01T00:00:00Z"}'}
    shutil.rmtree(study.folder / "store/test_sets")
    settle(study.plan())
    assert uses(study) == kept


def test_a_cache_hit_records_its_test_set_use(study):
    def fail(job):
        raise AssertionError

    run(study.plan(), "evaluate", UNITS[0], fail)
    assert list(uses(study).values()) == [{"first": "2026-01-01T00:00:00Z"}]


def test_a_job_killed_after_its_record_loses_no_test_set_use(study, monkeypatch):
    forget(study, "evaluate")
    add = Records.add

    def add_and_die(*arguments):
        add(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Records, "add", add_and_die)
        with pytest.raises(KeyboardInterrupt):
            run(study.plan(), "evaluate", UNITS[0], train)
    assert uses(study) == {}
    plan = study.plan()
    settle(plan)
    (use,) = uses(study).values()
    assert use == {"first": plan.records.read(plan.recipe_digest("evaluate", UNITS[0])).made["started"]}


FULL_JOB = """
import sys
from pathlib import Path

import pytest

sys.path.insert(0, sys.argv[3])
from support.mock_study import Study
from test_script import run

def fill():
    for size in (1 << 16, 1 << 8, 1):
        try:
            with open("ballast" + str(size), "wb", buffering=0) as stream:
                while True:
                    stream.write(bytes(size))
        except OSError:
            pass

def make(job):
    job.out.mkdir()
    fill()
    (job.out / "network").write_text("a network" * 1000)

plan = Study(Path.cwd()).plan()
if sys.argv[1] == "before":
    fill()
run(plan, "train", sys.argv[2], make)
"""


@pytest.fixture
def full_study(study, mount_small, monkeypatch):
    """The mock study on a small file system."""
    copy = study.copy_to(mount_small(64) / "study")
    with monkeypatch.context() as patch:
        patch.chdir(copy.folder)
        yield copy


@pytest.mark.parametrize("when", ["before", "while it runs"])
def test_a_full_disk_gives_one_message_and_no_incomplete_file(full_study, when):
    forget(full_study, "train")
    here = Path(__file__).parent
    command = [sys.executable, "-c", FULL_JOB, when, UNITS[0], str(here.parents[1])]
    paths = os.pathsep.join([str(here), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100, env=environment)
    assert done.returncode == 1
    first, second, *rest = done.stderr.splitlines()
    assert first == f"nephroscale: train of {UNITS[0]} failed"
    assert second.startswith("  The disk is full")
    assert [line.split(":")[0].strip() for line in rest] == ["where", "fix", "log"]
    left = [path for path in full_study.folder.rglob("*") if path.name.endswith(".tmp")]
    assert left == []
    assert list((full_study.folder / "store/tmp").iterdir()) == []
    for path in full_study.folder.glob("results/logs/train/*/*.error"):
        assert "The disk is full" in path.read_text()
    for ballast in full_study.folder.glob("ballast*"):
        ballast.unlink()
    run(full_study.plan(), "train", UNITS[0], train)
    assert full_study.plan().receipt("train", UNITS[0]).accepted


@pytest.mark.parametrize("looked_at", [False, True])
def test_a_damaged_input_is_found_before_its_use_if_configured(study, capfd, looked_at):
    forget(study, "train")
    plan = study.plan()
    path = plan.object_path("folds", "cohort") / "folds.json"
    before = path.stat()
    path.chmod(0o600)
    path.write_text(path.read_text().replace("stratified", "stratifieD"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    store = {**plan.config.store.to_mapping(), "verify_on_read": looked_at}
    read = []

    def use(job):
        read.append(job.input("folds").path)
        return train(job)

    if looked_at:
        with pytest.raises(SystemExit):
            run(plan, "train", UNITS[0], use, store=store)
    else:
        run(plan, "train", UNITS[0], use, store=store)
    assert bool(read) != looked_at
    assert ("The object of folds of cohort is damaged" in capfd.readouterr().err) == looked_at


@pytest.mark.parametrize("stage", stage_table().values(), ids=lambda stage: stage.name)
def test_rule_and_script_name_the_inputs_that_the_stage_declares(root, stage):
    script = (root / f"scripts/{stage.rule}.py").read_text()
    assert set(re.findall(r'"(\w+)": snakemake\.input\.\1\b', script)) == set(stage.inputs)
    (rule,) = [
        found
        for path in (root / "workflow/rules").glob("*.smk")
        for found in re.findall(rf"^rule {stage.rule}:\n(.*?)(?=^\S|\Z)", path.read_text(), re.MULTILINE | re.DOTALL)
    ]
    declared = re.search(r"^    input:\n(.*?)(?=^    \w)", rule, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"^        (\w+)=", declared[1] if declared else "", re.MULTILINE)) == set(stage.inputs)
