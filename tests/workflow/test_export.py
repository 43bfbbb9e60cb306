"""Results exported to another machine, with raw files in another folder."""

import shutil

import pytest

pytestmark = pytest.mark.workflow


def test_imported_results_are_not_computed_again_and_end_in_the_same_receipts(made, tmp_path):
    before = made.receipts()
    there = made.copy_to(tmp_path / "there")
    code, text = there.nephroscale("export", "results/tiny", "all.tar")
    assert code == 0, text
    shutil.rmtree(there.path / "results")
    shutil.move(there.path / "store", tmp_path / "old store")
    shutil.rmtree(there.path / ".snakemake")
    (there.path / "demo/tiny").rename(there.path / "raw files elsewhere")
    there.edit("config/tiny.yaml", "root: demo/tiny", "root: raw files elsewhere")
    code, text = there.nephroscale("import", "all.tar")
    assert code == 0, text
    assert "Every digest matches" in text
    run = there.run()
    assert run.idle, run.output
    assert there.receipts() == before
    assert there.nephroscale("verify")[0] == 0


def test_one_result_is_exported_with_its_inputs_only(made, tmp_path):
    there = made.copy_to(tmp_path / "there")
    code, text = there.nephroscale("export", "results/tiny/features/P01-TEM.json", "one.tar")
    assert code == 0, text
    assert text.startswith("one.tar: 3 results")  # register, tem, features
    shutil.move(there.path / "store", tmp_path / "old store")
    assert there.nephroscale("import", "one.tar")[0] == 0
    run = there.run("results/tiny/features/P01-TEM.json")
    assert run.code == 0, run.output
    assert run.computed == []


def test_artifacts_of_other_settings_are_not_exported(project):
    project.edit("config/tiny.yaml", "size_px: 224", "size_px: 192")
    code, text = project.nephroscale("export", "results/tiny/tem/P01.json", "x.tar")
    assert code == 1
    assert "Run the workflow first" in text
    assert not (project.path / "x.tar").exists()
