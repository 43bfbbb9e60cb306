"""The segmenter of IM in a study: when it is trained, what it finds, and that OM does not depend on it."""

import os
import subprocess
import sys

import pytest
import yaml

from nephroscale.engine.make_units import make_units
from nephroscale.engine.plan import Plan
from nephroscale.places import workflow_folder
from nephroscale.stages.checks.configuration import find_few_outlines
from nephroscale.stages.registry import stage_table
from support.small_study import PATIENTS, small_config, write_study

pytestmark = pytest.mark.slow

CHOSEN = [*PATIENTS[:4], ("S0", "IgAN", "segmentation"), ("S1", "MN", "segmentation")]
#: What is made of the study: the first patient's images are searched by both networks.
MADE = {
    "register": ["P0", "S0", "S1"],
    "reference": ["cohort"],
    "tiles": ["S0-OM", "S1-OM", "S0-IM", "S1-IM", "P0-OM", "P0-IM"],
    "segmenter": ["cohort"],
    "segmenter_im": ["cohort"],
    "segmenter_check": ["fold0", "fold0-IM"],
    "glomeruli": ["P0-OM", "P0-IM"],
}


def make_plan(folder, monkeypatch, name="few", **glomeruli):
    monkeypatch.chdir(folder)
    config = small_config()
    config |= {"results": f"results-{name}", "store": {"path": "store"}}
    config["glomeruli"] |= glomeruli
    return Plan(config, stage_table())


def make(plan, made):
    for stage, units in made.items():
        for unit in units:
            (receipt,) = make_units(plan, plan.stages[stage], [unit])
            plan.set_receipt(stage, unit, receipt)
            path = plan.receipt_path(stage, unit)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(receipt.text())


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("im") / "study"
    write_study(folder, patients=CHOSEN, outlined_im=True)
    return folder


def test_two_networks_are_trained_and_used(study, monkeypatch):
    monkeypatch.setenv("NEPHROSCALE_CHECK_INPUTS", "1")
    both = make_plan(study, monkeypatch, "both", min_im_images=2)
    assert set(both.units("segmenter_check")) == {"fold0", "fold1", "fold0-IM", "fold1-IM"}
    make(both, MADE)
    networks = [both.receipt(stage, "cohort") for stage in ("segmenter", "segmenter_im")]
    assert [receipt.figures["slides"] for receipt in networks] == [2, 2]
    assert networks[0].digest != networks[1].digest
    for modality, stage in (("OM", "segmenter"), ("IM", "segmenter_im")):
        found = both.receipt("glomeruli", f"P0-{modality}")
        assert found.figures["method"] == "unet"
        assert {name for name in both.recipe("glomeruli", found.unit).inputs if "segmenter" in name} == {
            f"{stage}/cohort"
        }
    rows = both.stages["segmenter_check"].rows(both, "fold0-IM")
    assert rows == {"held_out": {"S0": ["S0-IM"]}, "training": ["S1-IM"]}
    checks = [both.receipt("segmenter_check", unit).figures for unit in MADE["segmenter_check"]]
    assert [figures.get("modality") for figures in checks] == [None, "IM"]

    # Without the network of IM, whatever is made of OM has the same recipes.
    few = make_plan(study, monkeypatch)
    assert few.units("segmenter_im") == []
    assert few.units("segmenter_check") == ["fold0", "fold1"]
    without = {
        stage: [unit for unit in units if stage != "segmenter_im" and not unit.endswith("-IM")]
        for stage, units in MADE.items()
    }
    make(few, without | {"tiles": [*without["tiles"], "P0-IM"]})
    for stage, units in without.items():
        for unit in units:
            assert few.recipe_digest(stage, unit) == both.recipe_digest(stage, unit), (stage, unit)
    make(few, {"glomeruli": ["P0-IM"]})
    assert few.receipt("glomeruli", "P0-IM").figures["method"] == "classical"


@pytest.mark.workflow
def test_snakemake_plans_the_training_and_its_check(study):
    config = small_config()
    config |= {"results": "planned", "store": {"path": "planned-store"}}
    config["glomeruli"]["min_im_images"] = 2
    (study / "planned.yaml").write_text(yaml.safe_dump(config))
    snakefile = str(workflow_folder() / "Snakefile")
    command = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--configfile", "planned.yaml", "-n"]
    environment = {**os.environ, "PYTHONPATH": str(workflow_folder().parent / "scripts")}
    targets = ("planned/segmenter_check/fold0-IM.json", "planned/glomeruli/P0-IM.json")
    done = subprocess.run(
        [*command, "--cores", "1", *targets], cwd=study, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for job in ("segmenter_im", "check of the segmenter of fold0-IM", "search for glomeruli of P0-IM"):
        assert job in done.stdout + done.stderr


def test_too_few_outlined_images_are_told_and_not_tiled(study, monkeypatch):
    few = make_plan(study, monkeypatch)
    assert [unit for unit in few.units("tiles") if unit.startswith("S")] == ["S0-OM", "S1-OM"]
    (warning,) = find_few_outlines(few)
    assert "2 IM images of patients set apart have outlines, and 8 are needed" in str(warning)
    for settings in ({"min_im_images": 2}, {"method": "classical"}):
        assert list(find_few_outlines(make_plan(study, monkeypatch, **settings))) == []
    classical = make_plan(study, monkeypatch, min_im_images=2, method="classical")
    assert classical.units("segmenter_im") == []
    assert "S0-IM" not in classical.units("tiles")


def test_outlines_that_cannot_be_used_leave_the_classical_detector(tmp_path, monkeypatch):
    write_study(tmp_path / "study", patients=CHOSEN, outlined_im=True)
    for name in ("S0", "S1"):
        (tmp_path / f"study/raw/{name}-IM.geojson").write_text("[{")
    plan = make_plan(tmp_path / "study", monkeypatch, min_im_images=2)
    make(plan, {"register": MADE["register"], "tiles": ["S0-IM", "S1-IM", "P0-IM"], "segmenter_im": ["cohort"]})
    verdict = plan.receipt("segmenter_im", "cohort")
    assert "none of the annotated slides can be used" in verdict.reason
    make(plan, {"glomeruli": ["P0-IM"]})
    assert plan.receipt("glomeruli", "P0-IM").figures["method"] == "classical"
