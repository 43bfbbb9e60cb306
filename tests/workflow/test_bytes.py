"""The same bytes from the same raw files, in any folder and any order of jobs."""

import os

import pytest

pytestmark = pytest.mark.workflow


def test_another_folder_number_of_cores_and_order_give_the_same_digests(checked_out, made, tmp_path, monkeypatch):
    other = checked_out.copy_to(tmp_path / "a much longer parent" / "projét")
    other.fresh = True
    monkeypatch.setenv("PYTHONHASHSEED", "17")
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    monkeypatch.setenv("LC_ALL", "C")
    # The last patient first, one job after the other. The first run ran two jobs at a time, forked off one process;
    # without hooks, each job is a process of its own.
    unit = max(units_of(made, "tem"))
    run = other.run(f"results/tiny/features/{unit}-TEM.json", cores=1, options=("--no-hooks",))
    assert (run.code, run.computed) == (0, [f"features/{unit}-TEM", f"register/{unit}", f"tem/{unit}"]), run.output
    run = other.run("report", cores=1, options=("--scheduler", "greedy"))
    assert run.code == 0, run.output
    assert other.receipts() == made.receipts()
    assert os.path.realpath(other.path) != os.path.realpath(made.path)


def units_of(project, stage):
    folder = project.path / "results/tiny" / stage
    return [path.name.removesuffix(".json") for path in folder.glob("*.json") if not path.is_symlink()]
