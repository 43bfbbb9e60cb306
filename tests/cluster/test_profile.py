"""The profile fits the rules; no Slurm is needed for that."""

import re

import pytest
import yaml

from nephroscale.stages.registry import stage_table

LIMIT_MINUTES = 8 * 60  # so that the third attempt, with three times as much, requests a day


@pytest.fixture(scope="module")
def profile(root):
    return yaml.safe_load((root / "workflow/profiles/slurm/config.yaml").read_text())


@pytest.fixture(scope="module")
def rules(root):
    """The text of each rule that makes an artifact, by its name."""
    text = "\n".join(path.read_text() for path in sorted((root / "workflow/rules").glob("*.smk")))
    blocks = dict(re.findall(r"^rule (\w+):\n(.*?)(?=^rule |^def |\Z)", text, re.DOTALL | re.MULTILINE))
    return {stage.rule: blocks[stage.rule] for stage in stage_table().values()}


def test_only_rules_with_a_gpu_use_the_gpu_partition(profile, rules):
    wanted = {name for name, text in rules.items() if "gpu=count_gpus" in text}
    assert set(profile["set-resources"]) == wanted
    assert wanted >= {"train_model", "extract_features", "evaluate_model"}


def test_groups_are_of_rules_that_exist_and_each_has_a_size(profile, rules):
    assert set(profile["groups"]) <= set(rules)
    assert set(profile["groups"].values()) == set(profile["group-components"])


def test_no_group_requests_more_than_eight_hours(profile, rules):
    for rule, group in profile["groups"].items():
        runtime = int(re.search(r"runtime=scale_with_attempt\((\d+)\)", rules[rule])[1])
        # The executor starts the jobs of a group one after the other.
        assert profile["cores"] == 1
        assert profile["group-components"][group] * runtime <= LIMIT_MINUTES, rule


def test_every_rule_requests_more_at_each_attempt_and_names_no_partition(rules):
    for name, text in rules.items():
        assert "mem_mb=scale_with_attempt(" in text, name
        assert "runtime=scale_with_attempt(" in text, name
        assert "slurm" not in text, name


def test_the_default_profile_sets_no_executor(root):
    always = yaml.safe_load((root / "workflow/profiles/default/config.yaml").read_text())
    assert not [key for key in always if key.endswith("resources") or key in {"executor", "cores", "jobs", "retries"}]
