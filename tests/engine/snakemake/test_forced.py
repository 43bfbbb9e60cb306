"""Which units a command line of Snakemake forces."""

from pathlib import Path

import pytest

from nephroscale.engine.snakemake.forced import read_forced
from nephroscale.stages.registry import stage_table

RESULTS = Path("results/tiny")


def forced(*arguments):
    return read_forced(["/usr/bin/snakemake", "--cores", "2", *arguments], stage_table(), RESULTS).names


@pytest.mark.parametrize("name", ["prepare_tem", "tem"])
@pytest.mark.parametrize("option", ["--forcerun", "-R"])
def test_a_rule_and_a_target_force_every_unit(option, name):
    assert forced("-n", option, name, "--", "all") == {"tem/*"}


def test_receipts_force_their_units():
    names = ("results/tiny/tem/P01.json", "./results/tiny/train/cmusnet/fold0-seed1.json", "results/tiny/folds.json")
    assert forced("--forcerun", *names) == {"tem/P01", "train/cmusnet/fold0-seed1", "folds/cohort"}


@pytest.mark.parametrize("option", ["-F", "--forceall", "-nF"])
def test_forceall_forces_every_stage(option):
    assert forced(option, "tem") == {f"{stage}/*" for stage in stage_table()}


def test_other_names_force_nothing():
    assert forced("--forcerun", "all", "results/tiny/report.html", "results/other/tem/P01.json") == set()
    assert forced("all") == set()


def test_the_command_line_of_another_program_forces_nothing():
    assert read_forced(["/usr/bin/pytest", "-F", "--forcerun", "tem"], stage_table(), RESULTS).names == set()
