"""Baselines trained on the folds and bags of CMUS-Net."""

import csv
import json

import pytest
import yaml

from nephroscale.models.registry import FAMILIES

pytestmark = pytest.mark.workflow


def test_baselines_are_trained_and_tested_on_the_same_folds_and_bags(project):
    baselines = {
        name: {"family": name, "embedding": [32], "train": {"epochs": 2}} for name in ("abmil", "transmil", "mhim-mil")
    }
    targets = (f"results/tiny/evaluate/{name}/fold0-seed1.json" for name in baselines)
    run = project.run(*targets, config=(f"models={json.dumps(baselines)}",))
    assert run.code == 0, run.output
    assert set(run.computed) == {f"{stage}/{name}/fold0-seed1" for stage in ("train", "evaluate") for name in baselines}
    folder = project.path / "results/tiny"
    for name in baselines:
        assert len(json.loads((folder / f"train/{name}/fold0-seed1/curve.json").read_text())) == 2
        tested = {}
        for model in ("cmusnet", name):
            with (folder / f"evaluate/{model}/fold0-seed1/predictions.csv").open() as stream:
                tested[model] = [row["patient_id"] for row in csv.DictReader(stream)]
        assert tested[name] == tested["cmusnet"]
        weights = dict.fromkeys(tested[name], 0.0)
        for table in ("instances", "pooling"):
            with (folder / f"evaluate/{name}/fold0-seed1/{table}.csv").open() as stream:
                for row in csv.DictReader(stream):
                    weights[row["patient_id"]] += float(row["weight"])
        assert list(weights.values()) == pytest.approx([1.0] * len(weights), abs=1e-5)


def test_a_key_that_a_baseline_does_not_read_stops_the_run_before_any_job(project):
    run = project.run("evaluate", config=("models={abmil: {family: abmil, smil_threshold: 2}}",))
    assert run.code != 0
    assert "models.abmil.smil_threshold: the family abmil does not read this key" in run.output
    assert not run.computed


def test_the_shipped_baselines_are_every_family_except_cmusnet(root):
    shipped = yaml.safe_load((root / "config/baselines.yaml").read_text())["models"]
    assert {entry["family"] for entry in shipped.values()} == set(FAMILIES) - {"cmusnet"}
