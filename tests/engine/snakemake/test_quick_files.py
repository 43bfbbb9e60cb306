"""Which files and resources the shortcuts make themselves, and which they leave to Snakemake."""

from types import SimpleNamespace

import pytest
import snakemake.api
from snakemake.io import IOFile, _IOFile, flag, temp
from snakemake.resources import Resource

from nephroscale.engine.snakemake import quick_plan
from nephroscale.engine.snakemake.quick_dag import check_directory_outputs, match_rules
from nephroscale.engine.snakemake.quick_files import Files
from nephroscale.engine.snakemake.quick_resources import is_same_for_rule, same_for_rule


def test_a_pattern_is_filled_with_its_flags():
    files = Files()
    made = files.fill(IOFile(temp("a/{x,[a-z]+}-100%/{y}.{x}"), None), None, {"x": "b", "y": "2"})
    assert type(made) is _IOFile
    assert made == made.file == "a/b-100%/2.b"
    assert hash(made) == hash("a/b-100%/2.b")
    assert made.flags == {"temp": True}
    assert not made.is_callable()


@pytest.mark.parametrize("value", ["", " ", "/", "b/", "a//b", "<results>", "{y}", "a\n", " a"])
def test_unusual_paths_are_left_to_snakemake(value):
    assert Files().fill(IOFile("{x}", None), None, {"x": value}) is None


def test_missing_wildcards_and_flags_that_change_a_path_are_left_to_snakemake():
    files = Files()
    assert files.fill(IOFile("a/{x}", None), None, {"y": "b"}) is None
    assert files.fill(IOFile(flag("a/{x}", "before_update"), None), None, {"x": "b"}) is None
    assert files.fill(IOFile(lambda wildcards: "a", None), None, {"x": "b"}) is None
    assert files.fill(IOFile("a/{x}", None), None, {"x": "b"}) == "a/b"


@pytest.mark.parametrize(
    ("resource", "same"),
    [
        (Resource("mem_mb", 4), True),
        (Resource("mem_mb", lambda wildcards: 4), False),
        (Resource("mem_mb", same_for_rule(lambda wildcards, attempt: attempt)), True),
        (Resource.from_cli_expression("tmpdir", "system_tmpdir"), True),
        (Resource.from_cli_expression("mem_mb", "max(attempt * 2, 1000) + threads"), True),
        (Resource.from_cli_expression("mem_mb", "max(2 * input.size_mb, 1000)"), False),
        (Resource.from_cli_expression("mem_mb", "len(wildcards.x)"), False),
        (Resource.from_cli_expression("mem_mb", "$MEMORY * attempt"), False),
        (Resource.from_cli_expression("mem_mb", "attempt *"), False),
    ],
)
def test_a_resource_is_evaluated_once_a_rule_only_if_it_cannot_differ_between_jobs(resource, same):
    assert is_same_for_rule(resource) is same


def test_a_file_is_matched_with_the_rules_that_have_its_prefix_and_suffix():
    entries = {"": ["any"], "a/": ["a"], "a/b": ["ab", "ab2"], "a/b/": ["deep"], "c/": ["c"]}
    index = SimpleNamespace(
        _lookup=SimpleNamespace(
            _entries=[(prefix, [(rule, "2" if rule == "ab2" else "") for rule in of]) for prefix, of in entries.items()]
        )
    )
    match = match_rules(lambda *_: set())
    for path, rules in {
        "x": {"any"},
        "a/c": {"any", "a"},
        "a/bc": {"any", "a", "ab"},
        "a/b2": {"any", "a", "ab", "ab2"},
        "a/b/c2": {"any", "a", "ab", "ab2", "deep"},
        "c/a/b": {"any", "c"},
    }.items():
        assert match(index, path) == match(index, path) == rules


@pytest.mark.parametrize(("outputs", "asked"), [(["a/b", "a/c"], 0), (["a", "a/c"], 1), (["a/b/c/d", "a/b"], 1)])
def test_outputs_within_outputs_are_told_by_snakemake(outputs, asked):
    calls = []
    check = check_directory_outputs(calls.append)
    check(SimpleNamespace(jobs=[SimpleNamespace(output=[each]) for each in outputs]))
    assert len(calls) == asked


def test_another_version_of_snakemake_does_all_by_itself(monkeypatch):
    for name in ("quicken_files", "quicken_dag", "once_a_function", "once_a_script", "only_with_environment"):
        monkeypatch.setattr(quick_plan, name, lambda *_, name=name, **__: called.append(name))
    processor, rules, common = snakemake.dag.ScriptProcessor, snakemake.rules, snakemake.common
    for place, name in (
        (snakemake.jobs.Job, "conda_env_spec"),
        (common, "get_function_params"),
        (rules, "get_function_params"),
        (processor, "process_job"),
    ):
        monkeypatch.setattr(place, name, getattr(place, name))  # restored afterwards
    called = []
    quick_plan.quicken_plan()
    assert {"quicken_files", "quicken_dag"} <= set(called)
    monkeypatch.setattr(snakemake, "__version__", "9.28.0")
    called.clear()
    quick_plan.quicken_plan()
    assert called
    assert not {"quicken_files", "quicken_dag"} & set(called)
