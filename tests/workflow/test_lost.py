"""Damaged objects are made again, and nothing else unless they come out otherwise."""

import json
import re

import pytest

from support.linked_copies import separate

pytestmark = pytest.mark.workflow

PAGES = {"show_page": 1, "write_audit": 1, "all": 1}
# At the place where an artifact is made: the bag of P01 comes out with one more file.
OTHERWISE = """    receipt = _make_as_before(plan, job)
    if (job.stage.name, job.unit) == ("features", "P01-TEM"):
        (job.out / "remark.txt").write_text("another result")
    return receipt
"""


def damage(project, link):
    """Flip one bit in the largest file of an object."""
    files = [path for path in (project.path / "results/tiny" / link).resolve().rglob("*") if path.is_file()]
    path = max(files, key=lambda each: each.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    separate(path).write_bytes(content)


def planned(output):
    """Rule to number of jobs, by Snakemake's table."""
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", output, re.M) if name != "total"}


def test_damaged_objects_are_made_again_and_nothing_after_them(project):
    before = project.receipts()
    for link in ("tiles/P02-OM.ome.zarr", "features/P01-TEM.zarr", "train/cmusnet/fold0-seed1"):
        damage(project, link)
    jobs = {"tile_slide": 1, "extract_features": 1, "train_model": 1, **PAGES}
    dry = project.run(options=("-n",))
    assert planned(dry.output) == jobs
    run = project.run()
    assert run.code == 0, run.output
    assert planned(run.output) == jobs
    assert run.computed == ["features/P01-TEM", "tiles/P02-OM", "train/cmusnet/fold0-seed1"]
    assert project.receipts() == before
    assert project.run().idle


def test_a_damaged_object_that_comes_out_otherwise_is_recorded_and_makes_later_results_outdated(project):
    made = "scripts/nephroscale/engine/make_units.py"
    project.edit(
        made, "def _make(", f"def _make(plan: Plan, job: Job[Any]) -> Receipt:\n{OTHERWISE}\n\ndef _make_as_before("
    )
    damage(project, "features/P01-TEM.zarr")
    run = project.run()
    assert run.code == 1
    assert set(run.computed) == {"features/P01-TEM"}  # the record and the repeat
    assert "Made again with another result: features of P01-TEM" in run.output
    assert re.search(r"train +\d of 4, \d outdated", run.output), run.output
    repeats = [json.loads(path.read_text()) for path in project.path.glob("store/repeats/*.json")]
    assert [(each["receipt"]["unit"], each["agrees"]) for each in repeats] == [("P01-TEM", False)]
    again = project.run()
    assert again.code == 0, again.output
    assert {unit.partition("/")[0] for unit in again.computed} == {"train", "evaluate", "report"}
    assert project.run().idle
