"""`--forcerun`, `-R` and `-F` recompute units, and record whether the bytes agree."""

import json
import re
from collections import Counter

import pytest

from nephroscale.stages.registry import stage_table

pytestmark = pytest.mark.workflow


def repeats(project):
    """Each unit that was made again, and whether it agreed with its first run."""
    records = (json.loads(path.read_text()) for path in project.path.glob("store/repeats/*.json"))
    return {f"{r['receipt']['stage']}/{r['receipt']['unit']}": r["agrees"] for r in records}


def units(project, stage):
    """The units of a stage that has no folders below its own."""
    paths = (project.path / "results/tiny" / stage).glob("*.json")
    return sorted(f"{stage}/{path.stem}" for path in paths if not path.is_symlink())


def check_forced(project, options, expected):
    """A dry run plans the units; the run makes them again and nothing else, records agreement and is then complete."""
    before = project.receipts()
    planned = project.run(options=("-n", *options))
    assert planned.code == 0, planned.output
    assert planned.computed == []
    for stage, number in Counter(unit.partition("/")[0] for unit in expected).items():
        assert re.search(rf"^{stage_table()[stage].rule} +{number}$", planned.output, re.MULTILINE), planned.output
    run = project.run(options=options)
    assert run.code == 0, run.output
    assert run.computed == expected
    assert repeats(project) == dict.fromkeys(expected, True)
    assert project.receipts() == before
    assert project.run().idle


def test_a_target_makes_every_unit_of_the_stage_again_and_receipts_theirs_alone(project):
    receipts = [f"results/tiny/{unit}.json" for unit in ("folds", "tem/P02", "tiles/P01-OM")]
    options = ("-R", "tem", "./results/tiny/tem/P01.json", *receipts)
    check_forced(project, options, sorted(["folds/cohort", "tiles/P01-OM", *units(project, "tem")]))


def test_a_rule_plans_every_unit_of_the_stage_and_a_receipt_its_unit_alone(project):
    for option, number in (("prepare_tem", len(units(project, "tem"))), ("./results/tiny/tem/P01.json", 1)):
        planned = project.run(options=("-n", "--forcerun", option))
        assert planned.code == 0, planned.output
        assert re.search(rf"^prepare_tem +{number}$", planned.output, re.MULTILINE), planned.output
    assert number < len(units(project, "tem"))


def test_forceall_makes_a_target_and_all_that_it_depends_on_again(project):
    expected = sorted(units(project, "register") + units(project, "tem"))
    before = project.receipts()
    run = project.run("tem", options=("-F",))
    assert run.code == 0, run.output
    assert run.computed == expected
    assert repeats(project) == dict.fromkeys(expected, True)
    assert project.receipts() == before  # the report too, which the target does not reach
    again = project.run()
    assert (again.code, again.computed) == (0, []), again.output  # only the audit runs again, because it lists repeats
    assert project.receipts() == before


def test_a_differing_result_is_recorded_and_the_first_one_stays(project):
    receipt = project.receipt("tem/P01")
    with (project.path / "scripts/nephroscale/engine/make_units.py").open("a") as stream:  # in no recipe
        stream.write(
            "\n_made = _make\n"
            "def _make(plan, job):\n"
            "    receipt = _made(plan, job)\n"
            "    (job.out / 'extra').write_text('x')\n"
            "    return receipt\n"
        )
    run = project.run(options=("--forcerun", "results/tiny/tem/P01.json"))
    assert run.code == 0, run.output
    assert repeats(project)["tem/P01"] is False
    assert project.receipt("tem/P01") == receipt
