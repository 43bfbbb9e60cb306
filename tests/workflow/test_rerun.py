"""The units that are recomputed after each kind of change, according to records."""

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image

from nephroscale.engine.forced import Forced
from nephroscale.engine.make_units import make_units
from nephroscale.engine.plan import Plan
from nephroscale.errors import NephroscaleError
from nephroscale.stages.registry import stage_table
from support.linked_copies import separate

pytestmark = pytest.mark.workflow


def stages(run):
    return {unit.partition("/")[0] for unit in run.computed}


def mirror(source, target):
    """Write a picture's mirror image: the same picture under two patients stops the folds."""
    Image.open(source).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(target)


def declare_copies(project, copies):
    """Fill `same_as` in the table of images: image to the one that it copies."""
    path = project.path / "config/tiny/images.csv"
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    ends = {image: f",{other},copied for a test" for image, other in copies.items()}
    lines = [line + ends.get(line.partition(",")[0], ",,") for line in lines]
    path.write_text("\n".join([f"{header},same_as,same_as_reason", *lines, ""]), encoding="utf-8")


def test_a_whole_run_makes_weights_predictions_and_figures(made):
    figures = json.loads((made.path / "results/tiny/report/metrics.json").read_text())
    assert set(figures["models"]) == {"cmusnet", "tem-only"}
    assert 0 <= figures["models"]["cmusnet"]["pooled"]["balanced_accuracy"]["value"] <= 1
    assert (made.path / "results/tiny/train/cmusnet/fold0-seed1/weights.safetensors").is_file()
    assert (made.path / "results/tiny/evaluate/cmusnet/fold1-seed1/predictions.csv").is_file()
    assert len((made.path / "results/tiny/report/index.html").read_text()) > 1000


def test_an_unchanged_project_has_nothing_to_be_done(project):
    run = project.run()
    assert run.idle
    assert run.computed == []
    assert "Report: results/tiny/report/index.html" in run.output


def test_receipts_hold_no_time_host_or_place_and_links_are_relative(made):
    for name, text in made.receipts().items():
        assert str(made.path) not in text, name
        assert os.uname().nodename not in text.split('"')
    links = [p for p in (made.path / "results/tiny").rglob("*") if p.is_symlink() and "raw" not in p.parts]
    assert links
    assert all(not link.readlink().is_absolute() and link.exists() for link in links)


def test_deleted_results_come_back_without_computing(project):
    before = project.receipts()
    shutil.rmtree(project.path / "results")
    run = project.run()
    assert run.idle
    assert project.receipts() == before
    assert (project.path / "results/tiny/audit/index.html").is_file()


def test_touched_files_compute_nothing(project):
    for path in [
        *project.path.glob("demo/tiny/*/*"),
        *project.path.glob("scripts/*.py"),
        *project.path.glob("config/**/*"),
    ]:
        os.utime(path)
    assert project.run().idle


def test_a_byte_identical_copy_under_another_name_computes_nothing(project):
    raw = project.path / "demo/tiny/om"
    shutil.copy(raw / "P01.svs", raw / "another name.svs")
    (raw / "P01.svs").unlink()
    project.edit("config/tiny/images.csv", "om/P01.svs", "om/another name.svs")
    assert project.run().idle


def test_edited_code_with_the_same_output_recomputes_its_stage_alone(project):
    with (project.path / "scripts/nephroscale/tem/tem.py").open("a") as stream:
        stream.write("\nREMARK = 1\n")
    assert stages(project.run()) == {"tem"}


def test_an_edited_comment_or_docstring_recomputes_nothing(project):
    project.edit("scripts/nephroscale/tem/tem.py", '"""', '"""Edited. ')
    with (project.path / "scripts/nephroscale/tem/tem.py").open("a") as stream:
        stream.write("\n# a remark\n")
    assert project.run().idle


def test_edited_code_with_another_output_recomputes_all_later_stages(project):
    path = project.path / "scripts/nephroscale/tem/tem.py"
    with path.open("a") as stream:
        stream.write(
            "\n_original = prepare_tem\n"
            "def prepare_tem(images, settings, out):\n"
            "    from dataclasses import replace\n"
            "    return _original(images, replace(settings, size_px=settings.size_px - 32), out)\n"
        )
    run = project.run()
    assert stages(run) == {"tem", "features", "train", "temperature", "evaluate", "report"}
    assert all(unit.endswith("-TEM") for unit in run.computed if unit.startswith("features/"))


def test_a_changed_micrograph_reruns_the_stages_of_its_patient_and_not_the_training_of_its_test_fold(project):
    folds = json.loads((project.path / "results/tiny/folds/folds.json").read_text())
    tested = next(fold["name"] for fold in folds["folds"] if "P01" in fold["test"])
    weights = {
        p.name: p.readlink() for p in (project.path / "results/tiny/train/cmusnet").glob("fold*1") if p.is_symlink()
    }
    raw = project.path / "demo/tiny/tem"
    mirror(raw / "P02-TEM1.png", raw / "P01-TEM1.png")
    before = project.receipt("folds")
    run = project.run("train")
    images = {
        unit for unit in run.computed if unit.partition("/")[0] in {"register", "tem", "features", "tiles", "glomeruli"}
    }
    assert images == {"register/P01", "tem/P01", "features/P01-TEM"}
    assert "folds/cohort" in run.computed  # for they look for duplicates
    assert project.receipt("folds") == before
    trained = {unit for unit in run.computed if unit.startswith("train/")}
    assert trained == {u for u in trained if f"fold{tested}-" not in u}
    assert trained
    link = project.path / f"results/tiny/train/cmusnet/fold{tested}-seed1"
    assert link.readlink() == weights[link.name]


def test_a_changed_slide_reruns_the_stages_of_its_patient_and_the_folds_with_it(project):
    raw = project.path / "demo/tiny/om"
    shutil.copy(raw / "P02.svs", raw / "P01.svs")
    stopped = project.run()
    assert stopped.code != 0
    assert "identical files" in stopped.output.partition("The same image under two patients:")[2]
    assert "P01-OM of P01 (diagnosis) and P02-OM of P02 (diagnosis)" in stopped.output
    declare_copies(project, {"P01-OM": "P02-OM"})
    run = project.run()
    assert "copied for a test" in (project.path / "results/tiny/report/index.html").read_text()
    image_stages = {"register", "tiles", "glomeruli", "tem", "features"}
    images = {u for u in [*stopped.computed, *run.computed] if u.partition("/")[0] in image_stages}
    assert images == {"register/P01", "tiles/P01-OM", "glomeruli/P01-OM", "features/P01-OM"}
    # Patients who share an image are one group, so that the folds may change, and with them every model.
    folds = json.loads((project.path / "results/tiny/folds/folds.json").read_text())["folds"]
    for fold in folds:
        assert [side for side in ("train", "validation", "test") if len({"P01", "P02"} & set(fold[side])) == 1] == []
    runs = {f"cmusnet/fold{fold['name']}-seed1" for fold in folds}
    sees = {f"cmusnet/fold{fold['name']}-seed1" for fold in folds if "P01" in fold["train"] + fold["validation"]}
    assert {f"train/{run_}" for run_ in sees} <= set(run.computed)
    assert {f"evaluate/{run_}" for run_ in runs} <= set(run.computed)


def test_a_new_patient_computes_its_own_images_then_folds_and_what_follows(project):
    for path in [*project.path.glob("demo/tiny/*/P03.*"), *project.path.glob("demo/tiny/*/P03-*")]:
        shutil.copy(path, path.with_name(path.name.replace("P03", "P09")))
    for table in ("patients", "images"):
        path = project.path / f"config/tiny/{table}.csv"
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = [line.replace("P03", "P09") for line in lines if line.startswith("P03")]
        path.write_text("\n".join([*lines, *rows]) + "\n", encoding="utf-8")
    names = [row.partition(",")[0] for row in rows]
    declare_copies(project, {name: name.replace("P09", "P03") for name in names})
    run = project.run()
    assert run.code == 0, run.output
    image_stages = {"register", "tiles", "glomeruli", "tem", "features"}
    images = {unit for unit in run.computed if unit.partition("/")[0] in image_stages}
    assert {unit.partition("/")[0] for unit in images} == image_stages
    assert all("/P09" in unit for unit in images), images
    assert stages(run) == image_stages | {"folds", "train", "temperature", "evaluate", "report"}


def test_a_failed_run_leaves_nothing_stale(project):
    before = project.receipts()
    failed = project.run(config=("compute={device: cuda}",))
    assert failed.code != 0
    assert failed.output.count("no GPU") == 1, failed.output
    assert "message: None" not in failed.output
    assert "CalledProcessError" not in failed.output
    assert project.run().idle
    assert project.receipts() == before


def test_a_damaged_object_is_set_aside_and_made_again(project):
    receipt = project.receipt("tem/P01")
    file = next((project.path / "store/objects" / receipt["digest"][:2] / receipt["digest"] / "images").rglob("0"))
    while file.is_dir():
        file = file / "0"
    separate(file).write_bytes(b"\0" * file.stat().st_size)
    run = project.run()
    assert run.computed == ["tem/P01"]
    assert project.receipt("tem/P01") == receipt


def test_in_a_very_large_plan_only_missing_artifacts_are_planned(project):
    project.edit("scripts/nephroscale/engine/plan.py", "WHOLE_PLAN = 5_000", "WHOLE_PLAN = 0")
    before = project.receipts()
    shutil.rmtree(project.path / "results")
    assert project.run().idle
    assert project.receipts() == before
    raw = project.path / "demo/tiny/tem"
    mirror(raw / "P02-TEM1.png", raw / "P01-TEM1.png")
    run = project.run()
    assert run.code == 0, run.output
    assert {"register/P01", "tem/P01", "features/P01-TEM", "report/cohort"} <= set(run.computed)
    assert {unit for unit in run.computed if unit.startswith(("tiles/", "glomeruli/"))} == set()
    after = project.receipts()
    assert after.keys() == before.keys()
    assert project.run().idle
    object_ = project.path / "results/tiny/tiles/P07-OM.ome.zarr"
    link = object_.resolve()
    link.chmod(0o700)
    (link / "tiles.csv").unlink()
    run = project.run()
    assert run.computed == ["tiles/P07-OM"]
    assert project.receipts() == after


def test_while_another_run_holds_the_lock_nothing_is_changed(project):
    notes = project.path / ".snakemake"
    (notes / "nephroscale-run.json").unlink()  # else the lock is that of the last run, which has ended
    (notes / "locks").mkdir(exist_ok=True)
    (notes / "locks/0.output.lock").write_text("results/tiny/tem/P01.json\n")
    shutil.rmtree(project.path / "results/tiny/tem")
    run = project.run()
    assert run.code != 0
    assert "cannot be locked" in run.output
    assert run.computed == []
    assert not list((project.path / "results/tiny").glob("tem/*"))


def plan_and_stage(project, name, monkeypatch):
    monkeypatch.chdir(project.path)
    config = yaml.safe_load(Path("config/tiny.yaml").read_text())
    plan = Plan(config, stage_table(), scripts=project.path / "scripts")
    return plan, plan.stages[name]


def test_a_slide_swapped_while_a_job_reads_it_is_not_published(project, monkeypatch):
    plan, stage = plan_and_stage(project, "tem", monkeypatch)
    before = project.runs()

    def make(job):
        shutil.copy("demo/tiny/tem/P02-TEM1.png", "demo/tiny/tem/P01-TEM1.png")
        job.out.write_text("made from two files")
        return {}

    monkeypatch.setattr(stage, "make", make)
    monkeypatch.setattr(plan, "forced", Forced.of([("tem", "P01")]))

    with pytest.raises(NephroscaleError, match="P01-TEM1 changed while it was being read"):
        make_units(plan, stage, ["P01"])
    assert project.runs() == before


def test_an_artifact_is_not_published_if_its_code_was_edited_during_the_job(project, monkeypatch):
    plan, stage = plan_and_stage(project, "tem", monkeypatch)

    def make(job):
        with Path("scripts/nephroscale/tem/clean.py").open("a") as stream:
            stream.write("\nEDITED = 1\n")
        job.out.write_text("made by the old code")
        return {}

    monkeypatch.setattr(stage, "make", make)
    monkeypatch.setattr(plan, "forced", Forced.of([("tem", "P01")]))

    with pytest.raises(NephroscaleError, match="changed while it ran"):
        make_units(plan, stage, ["P01"])
