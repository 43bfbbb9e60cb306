"""The plan that Snakemake makes with the shortcuts is the one that it makes without them."""

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from nephroscale.engine.prepass import settle
from support.mock_study import ROOT, Study
from support.snakemake_calls import calls

pytestmark = pytest.mark.slow
SCRIPTS = str(ROOT / "scripts")
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
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        settle(study.plan())  # copies the pages of the report and the audit
    return study


def nothing_made(folder):
    for name in ("store", "results"):
        shutil.rmtree(folder / name)


def everything_made(folder):
    pass


def one_image_changed(folder):
    image = sorted((folder / "raw").rglob("*OM0.png"))[0]
    image.write_bytes(image.read_bytes() + b"changed")


def plan(folder, way, arguments):
    """The planned jobs, and the last lines of a dry run."""
    output = folder.parent / f"{way}.json"
    log = str(folder.parent / f"{way}.log")
    command = [str(output), way, "--configfile", "config.yaml", "--cores", "2", *arguments]
    code = calls().run(command, str(folder), (log, log), dict(os.environ), module="support.planned_jobs", path=SCRIPTS)
    printed = Path(log).read_text()
    assert code == 0, printed
    return json.loads(output.read_text()), printed.partition("Job stats:")[2] or printed.partition("Nothing to be")[2]


RECEIPT = "results/demo/features/P000001-TEM.json"
CASES = [
    (nothing_made, "-n all"),
    (nothing_made, "-n --groups tile_slide=a find_glomeruli=a -- all"),
    (nothing_made, "-n --set-resources tile_slide:mem_mb=attempt*3000+len(wildcards.image) -- features"),
    (everything_made, f"-n --forcerun {RECEIPT} -- all"),
    (one_image_changed, "all"),
]
MORE = [
    (nothing_made, "all"),
    (nothing_made, "-n --set-resources tile_slide:runtime=max(7,attempt) --set-threads tile_slide=1 -- all"),
    (nothing_made, "-n --default-resources mem_mb=attempt*2 -- tiles"),
    (nothing_made, f"-n {RECEIPT}"),
    (nothing_made, "-n --until tile_slide -- all"),
    (nothing_made, "-n --omit-from make_folds -- all"),
    (nothing_made, "-n --prioritize results/demo/tiles/P000001-OM0.json -- all"),
    (everything_made, "-n all"),
    (everything_made, "-n -F all"),
    (everything_made, "-n --forcerun tile_slide -- all"),
    (everything_made, "--forcerun prepare_tem -- all"),
    (everything_made, "-n --rerun-triggers mtime code input params -- all"),
    (one_image_changed, "-n all"),
]


# What our own rules do without, and Snakemake's users need: flags, constraints, several wildcards, checkpoints.
ODD = """
from nephroscale.engine.snakemake.quick_resources import same_for_rule
from nephroscale.engine.snakemake.quick_plan import quicken_plan

quicken_plan(workflow.logger_manager.plugin_handlers)

@same_for_rule
def memory(wildcards, attempt):
    return 10 * attempt

def raw(wildcards):
    if wildcards.x == "b":
        raise ValueError("none")
    return f"raw/{wildcards.x}.txt"

rule all:
    input: expand("out/{x}-100%/{y}.txt", x=["a", "b", "c"], y=[1, 22]), "sum", "own/a", "later", "up/a", "link//a"
rule one:
    input: "raw/{x}.txt", named=lambda wildcards: [f"raw/{wildcards.x}.txt", "raw/c.txt"], none=lambda wildcards: []
    output: temp("out/{x,[a-z]}-100%/{y,[0-9]+}.txt")
    log: "logs/{x}/{y}.log", second="logs/{x}/{y}.second"
    benchmark: repeat("time/{x}-{y}.tsv", 2)
    params: size=lambda wildcards, input: len(input)
    resources: mem_mb=memory, runtime=lambda wildcards, attempt: attempt * (5 + len(wildcards.y))
    threads: 3
    priority: 7
    group: "g-{x}"
    shell: "cat {input} > {output}"
rule two:
    input: ancient("raw/a.txt"), unpack(lambda wildcards: {"other": "raw/b.txt"})
    output: protected("sum"), directory("folder")
    shell: "echo"
rule own:
    input: lambda wildcards: Path("raw/a.txt")
    output: touch("own/{x}")
    shell: "true"
rule other_own:
    input: raw
    output: "own/{x}", "own/{x}.more"
    shell: "true"
ruleorder: own > other_own
checkpoint some:
    input: raw
    output: directory("some/{x}")
    shell: "mkdir {output}"
rule later:
    input: lambda wildcards: checkpoints.some.get(x="a").output[0]
    output: "later"
    shell: "true"
rule up:
    input: lambda wildcards, attempt=1: "own/" + wildcards.x, raw, function=raw
    output: multiext("up/{x}", "", ".more")
    shell: "true"
rule link:
    input: f=lambda wildcards: (f"raw/{each}.txt" for each in "ab")
    output: "link//{x}"
    shell: "true"
"""


def test_flags_constraints_and_functions_of_any_kind_give_the_same_plan(tmp_path):
    found = {}
    for way in ("plain", "quick"):
        folder = tmp_path / way
        (folder / "raw").mkdir(parents=True)
        for name in "abc":
            (folder / "raw" / f"{name}.txt").write_text(name)
        (folder / "Snakefile").write_text(ODD)
        (folder / "config.yaml").write_text("{}")
        found[way] = plan(folder, way, ["-n", "all"])
    (before, printed), (after, printed_after) = found["plain"], found["quick"]
    assert Counter(job["rule"] for job in before) == {
        "all": 1, "one": 6, "two": 1, "own": 1, "some": 1, "later": 1, "up": 1, "link": 1
    }  # fmt: skip
    for job, same in zip(before, after, strict=True):
        assert job == same
    assert stable(printed) == stable(printed_after)


FAILS_ONCE = """
from nephroscale.engine.snakemake.quick_plan import quicken_plan

quicken_plan(workflow.logger_manager.plugin_handlers)
calls = []

def first(wildcards):
    calls.append(1)
    if len(calls) == 1:
        raise ValueError("the disk is full")
    return "raw.txt"

rule all:
    input: first
"""


def test_an_error_in_an_input_function_ends_the_run_and_the_function_is_not_asked_again(tmp_path):
    (tmp_path / "Snakefile").write_text(FAILS_ONCE)
    (tmp_path / "raw.txt").touch()
    log = tmp_path / "log"
    command = ["--cores", "1", "-n", "all"]
    code = calls().run(command, str(tmp_path), (str(log), str(log)), dict(os.environ), path=SCRIPTS)
    assert code != 0, log.read_text()
    assert "the disk is full" in log.read_text()


def stable(printed):
    """The lines that depend neither on the time nor on the order of a set."""
    lines = {line.strip() for line in printed.splitlines()}
    return {line for line in lines if not line.startswith(("[", "jobid:", "reason:"))}


@pytest.mark.parametrize(
    ("change", "arguments"), [*CASES, *(pytest.param(*each, marks=pytest.mark.long) for each in MORE)]
)
def test_the_plan_is_the_same_with_and_without_the_shortcuts(study, tmp_path, change, arguments):
    found = {}
    for way in ("plain", "quick"):
        folder = tmp_path / "study"
        shutil.copytree(study.folder, folder, symlinks=True)
        change(folder)
        found[way] = plan(folder, way, arguments.split())
        shutil.rmtree(folder)
    (before, printed), (after, printed_after) = found["plain"], found["quick"]
    assert before
    assert any(job["runs"] for job in before) == (
        change is not everything_made or "-F" in arguments or "--force" in arguments
    )
    for job, same in zip(before, after, strict=True):
        assert job == same
    assert printed == printed_after
