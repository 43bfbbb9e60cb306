"""A pre-pass that recalls the last one finds out the same as one that works out everything."""

import os
import shutil

import pytest

from nephroscale.engine import last_plan
from nephroscale.engine.forced import Forced
from nephroscale.engine.plan import Plan
from nephroscale.engine.prepass import find_out, settle

pytestmark = pytest.mark.slow


def found_by(plan):
    found = find_out(plan)
    keys = [(name, unit) for name in plan.stages for unit in plan.units(name)]
    receipts = {key: plan.receipt(*key) for key in keys}
    digests = {key: plan.recipe_digest(*key) for key in keys}
    digests |= {(*key, "receipt"): plan.receipt_digest(*key, receipt) for key, receipt in receipts.items() if receipt}
    return receipts, digests, found.unknown, found.rewritten, found.times.keys(), plan.ledger._added


def examined(plan, monkeypatch):
    """The stages of the units whose recipe is worked out in a pre-pass of a plan."""
    units, examine = [], Plan.examine
    monkeypatch.setattr(
        Plan, "examine", lambda self, stage, unit, **how: units.append(stage.name) or examine(self, stage, unit, **how)
    )
    find_out(plan)
    monkeypatch.setattr(Plan, "examine", examine)
    return units


def writable(path):
    path.chmod(0o600)
    return path


def first(folder, pattern):
    return min(folder.glob(pattern))


def raw_of(study):
    return first(study.folder, "raw/**/*.*")


def change_raw(study):
    raw_of(study).write_bytes(b"another")


def touch_raw(study):
    os.utime(raw_of(study), ns=(1, 1))


def edit(study, name, old, new):
    path = study.folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def remove_image(study):
    table = study.folder / "images.csv"
    header, *rows = table.read_text().splitlines()
    rows.remove(next(row for row in rows if "TEM" in row))
    table.write_text("\n".join([header, *rows]) + "\n")


def manifest(study):
    return first(study.folder, "store/manifests/*/*.json")


def damage_object(study):
    path = next(path for path in sorted(study.folder.glob("store/objects/*/*")) if path.is_file())
    writable(path).write_text("damaged")


def delete_in_object(study):
    folder = next(path for path in sorted(study.folder.glob("store/objects/*/*")) if path.is_dir())
    file = next(path for path in folder.rglob("*") if path.is_file())
    file.parent.chmod(0o700)
    file.unlink()


def edit_record(study):
    path = first(study.folder, "store/records/*/*.json")
    path.write_text(path.read_text().replace("accepted", "rejected"))


def edit_receipt(study):
    path = first(study.folder, "results/*/tiles/*.json")
    path.write_text(path.read_text().replace("accepted", "rejected"))


def forge(study):
    """Give the file of the last plan another receipt, but not the digest that belongs to it."""
    path = first(study.folder, "store/plans/*.json")
    path.write_text(path.read_text().replace('"accepted"', '"rejected"'))


def cut(study):
    path = first(study.folder, "store/plans/*.json")
    path.write_text(path.read_text()[:1000])


#: Name to the change, and whether artifacts are unknown after it.
CHANGES = {
    "nothing": (lambda study: None, False),
    "raw file": (change_raw, True),
    "time of a raw file": (touch_raw, False),
    "label": (lambda study: edit(study, "patients.csv", "MN,north", "LN,north"), True),
    "site": (lambda study: edit(study, "patients.csv", "MN,north", "MN,south"), True),
    "image less": (remove_image, True),
    "epochs": (lambda study: edit(study, "config.yaml", "epochs: 60", "epochs: 61"), True),
    "instances": (lambda study: edit(study, "config.yaml", "instance: image", "instance: patch"), True),
    "title": (lambda study: edit(study, "config.yaml", "title: The demo", "title: Another"), True),
    "object": (damage_object, True),
    "file of an object": (delete_in_object, True),
    "manifest": (lambda study: manifest(study).unlink(), False),
    "record": (lambda study: first(study.folder, "store/records/*/*.json").unlink(), True),
    "text of a record": (edit_record, True),
    "receipt": (lambda study: first(study.folder, "results/*/tiles/*.json").unlink(), False),
    "text of a receipt": (edit_receipt, False),
    "link": (lambda study: first(study.folder, "results/*/tiles/*.zarr").unlink(), False),
    "ledger": (lambda study: shutil.rmtree(study.folder / "store/test_sets"), False),
    "forged plan": (forge, False),
    "cut plan": (cut, False),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_is_found_out(settled, change, monkeypatch):
    make_change, unknown = CHANGES[change]
    make_change(settled)
    recalled = found_by(settled.plan())
    monkeypatch.setattr(last_plan.LastPlan, "_read", lambda self: {})
    assert found_by(settled.plan()) == recalled
    assert bool(recalled[2]) == unknown


def test_another_version_of_a_package_and_an_edited_source_are_noticed(settled, tmp_path, monkeypatch):
    digest = last_plan.digest_file
    packages = tmp_path / "packages"
    (packages / "one-1.0.dist-info").mkdir(parents=True)
    (packages / "other.egg-info").write_text("Name: other\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(packages)
    settle(settled.plan())
    assert "tiles" not in examined(settled.plan(), monkeypatch)
    (packages / "one-1.0.dist-info").rename(packages / "one-1.1.dist-info")
    assert "tiles" in examined(settled.plan(), monkeypatch)
    (packages / "one-1.1.dist-info").rename(packages / "one-1.0.dist-info")
    assert "tiles" not in examined(settled.plan(), monkeypatch)
    (packages / "other.egg-info").write_text("Name: other\nVersion: 1.1\n")
    assert "tiles" in examined(settled.plan(), monkeypatch)
    settle(settled.plan())
    with monkeypatch.context() as patch:
        patch.setattr(last_plan, "digest_file", lambda path: "0" if path.name == "tile_slide.py" else digest(path))
        assert "tiles" in examined(settled.plan(), patch)
    assert "tiles" not in examined(settled.plan(), monkeypatch)


def test_a_forced_unit_and_all_after_it_are_not_recalled(settled):
    plan = settled.plan()
    unit = plan.units("tiles")[1]
    plan.forced = Forced.of([("tiles", unit)])
    found = find_out(plan)
    assert ("tiles", unit) in found.unknown
    assert ("tiles", plan.units("tiles")[0]) not in found.unknown
    assert ("report", "cohort") in found.unknown


def test_what_is_unchanged_is_not_worked_out_again(settled, monkeypatch):
    assert set(examined(settled.plan(), monkeypatch)) == {"report", "audit"}
    settle(settled.plan())
    before = first(settled.folder, "store/plans/*.json").stat()
    settle(settled.plan())
    assert first(settled.folder, "store/plans/*.json").stat().st_ino == before.st_ino  # equal, so not written again
