"""Named inputs: the declarations of a stage decide what its rule waits for and what its jobs may open."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from snakemake.api import ConfigSettings, ResourceSettings, SnakemakeApi, WorkflowSettings
from snakemake.io import IOCache
from snakemake.iocontainers import Wildcards
from snakemake.settings.types import OutputSettings

from nephroscale.engine import open_check
from nephroscale.engine.awaited import receipts_of_input
from nephroscale.engine.make_units import make_units
from nephroscale.engine.plan import Plan
from nephroscale.engine.stage import STATUS, Need, Stage, need
from nephroscale.errors import NephroscaleError
from nephroscale.settings import Settings
from nephroscale.stages.registry import stage_table
from support.mock_study import Study

ROOT = Path(__file__).resolve().parents[2]
MOST_EDGES = 8


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Nine patients with all artifacts, for two models; one model reads only TEM."""
    models = {"cmusnet": {}, "tem-only": {"modalities": ["TEM"]}}
    return Study.make(tmp_path_factory.mktemp("inputs"), models=models)


@pytest.fixture
def plan(made, monkeypatch):
    monkeypatch.chdir(made.folder)
    return made.plan()


def keys(plan):
    return [(stage, unit) for stage in plan.stages for unit in plan.units(stage)]


# -- the rules --------------------------------------------------------------------------------------------------------


@pytest.fixture
def rules(made, plan, monkeypatch):
    """Each stage's working rule, as Snakemake reads it for the study."""
    monkeypatch.delenv("NEPHROSCALE_FORCED", raising=False)
    with SnakemakeApi(OutputSettings(quiet=None)) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=[made.folder / "config.yaml"]),
            workflow_settings=WorkflowSettings(),
            snakefile=ROOT / "workflow/Snakefile",
            workdir=made.folder,
        )
        internal = workflow._workflow
        internal.iocache = IOCache(0)  # Snakemake makes it before it calls the first input function
        yield {stage.name: internal.get_rule(stage.rule) for stage in plan.stages.values()}


def wildcards_of(stage, unit):
    """The wildcards of a unit's rule."""
    pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", re.escape(stage.pattern))
    if stage.name == "features":
        patient, _, modality = unit.rpartition("-")
        return Wildcards(fromdict={"patient": patient, "modality": modality})
    return Wildcards(fromdict=re.fullmatch(pattern, unit).groupdict())


@pytest.mark.slow
def test_the_inputs_of_a_rule_are_those_of_its_stage(rules, plan):
    for stage, unit in keys(plan):
        rule, declared = rules[stage], plan.stages[stage].inputs
        inputs, *_ = rule.expand_input(wildcards_of(plan.stages[stage], unit))
        names = {name for name, _ in inputs._allitems()} - {None}
        assert names == declared.keys(), stage
        for name in names:
            found = getattr(inputs, name)
            paths = [found] if isinstance(found, str) else list(found)
            assert paths == receipts_of_input(plan, stage, unit, name), f"{stage} of {unit}: {name}"


@pytest.mark.slow
def test_the_output_of_a_rule_is_the_receipt_of_its_stage(rules, plan):
    for stage, unit in keys(plan):
        outputs, _ = rules[stage].expand_output(wildcards_of(plan.stages[stage], unit))
        assert str(outputs.receipt) == plan.receipt_name(stage, unit)


# -- what follows from the declarations -------------------------------------------------------------------------------


def reached(plan, key):
    """Everything that a unit waits for, directly or not."""
    pending, found = [key], set()
    while pending:
        stage, unit = pending.pop()
        before = {each[:2] for each in plan.stages[stage].upstream(plan, unit)} - found
        found |= before
        pending += before
    return found


def test_what_a_unit_waits_for_covers_what_it_reads(plan):
    for stage, unit in keys(plan):
        needs = {each[:2] for each in plan.stages[stage].needs(plan, unit)}
        assert needs <= reached(plan, (stage, unit)), f"{stage} of {unit}"


def test_inputs_come_from_the_stages_that_they_name(plan):
    for stage, unit in keys(plan):
        for name, named in plan.stages[stage].inputs.items():
            found = {each.stage for each in named.needs(plan.stages[stage], plan, unit)}
            if stage not in {"report", "audit"}:  # these read every receipt, and wait for the last ones
                assert found <= set(named.stages), f"{stage}: {name}"


def test_edges_stay_linear(plan):
    edges = sum(len(receipts_of_input(plan, *key, name)) for key in keys(plan) for name in plan.stages[key[0]].inputs)
    assert edges < MOST_EDGES * len(keys(plan))


# -- a job that opens what is not declared ----------------------------------------------------------------------------


class Copy(Stage):
    """Copies the TEM object of one patient; `opens` are further artifacts that it opens."""

    name = "copy"
    rule = "copy_tem"
    pattern = "{patient}"
    opens: tuple[tuple[str, str], ...] = ()
    swallow = False

    def units(self, plan):
        return plan.patients

    @need("tem")
    def tem(self, plan, unit):
        return Need("tem", unit)

    @need("features")
    def features(self, plan, unit):
        return Need("features", f"{unit}-TEM", part=STATUS)

    def settings(self, plan, unit):
        return Settings()

    def make(self, job):
        job.out.write_bytes(job.input("tem").object.read_bytes())
        for key in self.opens:
            try:
                read(job.plan.object_path(*key))
            except NephroscaleError:
                if not self.swallow:
                    raise
        return {}


def read(path):
    file = path / "folds.json" if path.is_dir() else path
    with file.open("rb") as stream:
        return stream.read()


@pytest.fixture
def stage(made, tmp_path, monkeypatch):
    """A stage of a study of its own, and how to make one unit of it."""
    study = made.copy_to(tmp_path / "study")
    monkeypatch.chdir(study.folder)
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "copy_tem.py").write_text("")
    copy = Copy()
    plan = Plan(study.plan().config, {**stage_table(), "copy": copy}, scripts=scripts)
    copy.plan, copy.make_one = plan, lambda: make_units(plan, copy, [plan.patients[0]])
    return copy


def test_a_job_may_open_what_its_stage_declares(stage):
    (receipt,) = stage.make_one()
    assert receipt.accepted


@pytest.mark.parametrize("swallow", [False, True])
@pytest.mark.parametrize("other", ["another unit", "an input of which only the status counts", "another stage"])
def test_a_job_that_opens_anything_else_fails(stage, other, swallow):
    first, second = stage.plan.patients[:2]
    key = {"another unit": ("tem", second), "another stage": ("folds", "cohort")}.get(
        other, ("features", f"{first}-TEM")
    )
    stage.opens, stage.swallow = (key,), swallow
    with pytest.raises(NephroscaleError, match=f"copy of {first} opens an object that its stage does not declare"):
        stage.make_one()


def test_links_beside_receipts_are_followed(stage):
    second = stage.plan.patients[1]
    link = stage.plan.link_path("tem", second)
    link.unlink(missing_ok=True)
    link.symlink_to(stage.plan.object_path("tem", second).resolve())
    stage.plan.object_path = lambda *key, found=stage.plan.object_path: link if key[1] == second else found(*key)
    stage.opens = (("tem", second),)
    with pytest.raises(NephroscaleError, match="does not declare"):
        stage.make_one()


def test_a_stage_that_reads_records_may_open_every_artifact(stage):
    stage.opens = (("folds", "cohort"),)
    stage.reads_records = True
    assert stage.make_one()[0].accepted


def test_nothing_is_checked_unless_asked_for(stage, monkeypatch):
    monkeypatch.delenv(open_check.VARIABLE)
    stage.opens = (("folds", "cohort"),)
    assert stage.make_one()[0].accepted


def test_nothing_is_checked_after_the_job(stage):
    stage.make_one()
    assert read(stage.plan.object_path("tem", stage.plan.patients[1]))
