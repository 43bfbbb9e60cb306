"""The same bytes from the same raw files, wherever and in whatever order they are computed."""

import os

import pytest

from support.project import Project

pytestmark = pytest.mark.workflow


def test_another_folder_another_number_of_cores_and_another_order_give_the_same_digests(made, tmp_path, monkeypatch):
    other = Project.check_out(tmp_path / "a much longer parent" / "projét")
    monkeypatch.setenv("PYTHONHASHSEED", "17")
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    monkeypatch.setenv("LC_ALL", "C")
    # Patients from the last to the first, one job after the other; the first run took two at a time as they came.
    for target in ("tem", "features"):
        last_first = sorted((f"results/tiny/{target}/{unit}.json" for unit in units_of(made, target)), reverse=True)
        for receipt in last_first[:3]:
            assert other.run(receipt, cores=1).code == 0
    run = other.run(cores=1, options=("--scheduler", "greedy"))
    assert run.code == 0, run.output
    assert other.receipts() == made.receipts()
    assert os.path.realpath(other.path) != os.path.realpath(made.path)


def units_of(project, stage):
    folder = project.path / "results/tiny" / stage
    return [path.name.removesuffix(".json") for path in folder.glob("*.json") if not path.is_symlink()]
