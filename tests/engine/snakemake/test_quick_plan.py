"""What Snakemake asks of each job and is answered once."""

import inspect
from types import SimpleNamespace

import pytest
import snakemake.api  # it imports the others in an order that works
import snakemake.common
import snakemake.dag
import snakemake.rules

from nephroscale.engine.snakemake import quick_plan
from nephroscale.engine.snakemake.quick_plan import once_a_function, once_a_script, quicken_plan


class Resource:
    __hash__ = None  # as Snakemake's

    def __init__(self, given):
        self.given = given

    def evaluate(self, wildcards, attempt):
        return wildcards, attempt, self.given

    def __call__(self, wildcards):
        return wildcards


def test_the_parameters_of_a_function_and_of_all_objects_of_a_class_are_found_once():
    asked = []
    find = once_a_function(lambda function: asked.append(function) or list(inspect.signature(function).parameters))
    for _ in range(2):
        assert find(sorted) == ["iterable", "key", "reverse"]
        assert find(Resource(1).evaluate) == find(Resource(2).evaluate) == ["wildcards", "attempt"]
        assert find(Resource.evaluate) == ["self", "wildcards", "attempt"]
    assert len(asked) == 3
    assert find(Resource(1)) == find(Resource(1)) == ["wildcards"]
    assert len(asked) == 5


def job(rule, script):
    return SimpleNamespace(rule=SimpleNamespace(name=rule, script=script))


def test_a_script_is_looked_for_once_a_rule_unless_its_name_depends_on_the_job():
    asked = []
    check = once_a_script(lambda _, each: asked.append(each.rule.name))
    processor = SimpleNamespace(script_type="script")
    for rule, script in (("a", "a.py"), ("b", "{wildcards.x}.py"), ("c", None), ("a", "a.py"), ("b", "{x}.py")):
        check(processor, job(rule, script))
    assert asked == ["a", "b", "b"]
    check(SimpleNamespace(script_type="script"), job("a", "a.py"))  # another plan
    assert asked == ["a", "b", "b", "a"]


def test_a_script_that_is_not_there_is_told_each_time():
    def missing(processor, each):
        raise FileNotFoundError

    check, processor = once_a_script(missing), SimpleNamespace(script_type="script")
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            check(processor, job("a", "a.py"))


def test_snakemake_has_what_is_replaced(monkeypatch):
    processor = snakemake.dag.ScriptProcessor
    for place, name in (
        (snakemake.common, "get_function_params"),
        (snakemake.rules, "get_function_params"),
        (processor, "process_job"),
        (snakemake.jobs.Job, "conda_env_spec"),
    ):
        monkeypatch.setattr(place, name, getattr(place, name))  # restored afterwards
    for name in ("quicken_files", "quicken_dag"):  # tests/engine/snakemake/test_same_plan.py tests these
        monkeypatch.setattr(quick_plan, name, lambda *_, **__: None)
    before = snakemake.rules.get_function_params
    quicken_plan()
    assert snakemake.rules.get_function_params is snakemake.common.get_function_params is not before
    assert snakemake.rules.get_function_params(job) == before(job)
    assert snakemake.common.get_input_function_aux_params(
        lambda wildcards, attempt: 0, {"attempt": 1, "input": []}
    ) == {"attempt": 1}
    assert processor.script_type == "script"
    assert snakemake.dag.NotebookProcessor.process_job is not processor.process_job
