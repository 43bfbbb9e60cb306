"""`nephroscale verify` and `nephroscale gc` on the command line, on stores with damage and garbage."""

import os
from types import SimpleNamespace

import pytest

from nephroscale.cli import main
from nephroscale.commands import store as commands
from nephroscale.store import results_index
from nephroscale.store.objects import Store
from nephroscale.store.receipts import Receipt, settle_receipt
from nephroscale.store.recipe import Recipe
from nephroscale.store.records import Records


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A store, and the results folder of the present configuration."""
    plan = SimpleNamespace(store=Store(tmp_path / "store"), results=tmp_path / "results")
    monkeypatch.setattr(commands, "open_plan", lambda options: plan)
    return plan


def publish(project, unit, results=None):
    """Publish an object; with a results folder, a receipt names it."""
    with project.store.scratch() as scratch:
        (scratch / "out").write_text(f"text of {unit}")
        receipt = Receipt("stage", unit, "accepted", **project.store.publish(scratch / "out")._asdict())
    Records(project.store).add(Recipe("stage", rows=unit), receipt, {})
    if results:
        settle_receipt(results / f"{unit}.json", results / unit, receipt, project.store)
    return receipt.digest


def flip(path):
    path.chmod(0o600)
    state = path.stat()
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_verify_lists_damage_with_receipts_and_counts_each_kind(project, capsys):
    results_index.register_results(project.store, project.results)
    flipped, lost, _ = (publish(project, unit, project.results) for unit in ("flipped", "lost", "sound"))
    free = publish(project, "free")
    assert main(["verify", "--workers", "1"]) == 0
    assert "4 intact, 0 damaged (set aside), 0 missing, 0 not readable" in capsys.readouterr().out
    for digest in (flipped, free):
        flip(project.store.object_path(digest))
    project.store.object_path(lost).unlink()
    (project.store.path / "objects/notes.txt").write_text("x")
    assert main(["verify", "--workers", "1"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "1 intact, 2 damaged (set aside), 1 missing, 0 not readable" in lines[0]
    assert lines[lines.index(f"{lost}: missing") + 1] == f"  named by {project.results}/lost.json"
    (place,) = (number for number, line in enumerate(lines) if line.startswith(flipped))
    assert lines[place + 1] == f"  named by {project.results}/flipped.json"
    (place,) = (number for number, line in enumerate(lines) if line.startswith(free))
    assert lines[place + 1] == "  named by no receipt"
    assert lines[-2:] == [
        "objects/notes.txt: is not part of any object",
        "Run the workflow again to recompute what is damaged or missing.",
    ]


def test_a_verification_is_interrupted_and_resumed(project, capsys, monkeypatch):
    publish(project, "u")

    def interrupt(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "check", interrupt)
        assert main(["verify", "--workers", "1"]) == 130
    assert "resumes here" in capsys.readouterr().err
    assert main(["verify", "--workers", "1"]) == 0
    assert "Resuming the verification begun" in capsys.readouterr().out


def test_gc_lists_unneeded_objects_with_their_stage(project, capsys):
    named = publish(project, "named", project.results)
    free = publish(project, "free")
    assert main(["gc", "--keep-days", "-1"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("1 objects, 0.0 MB, can be deleted")
    assert printed.splitlines()[1].split() == [free[:12], "0.000", "MB", "stage/free"]
    assert named[:12] not in printed
    assert f"results in this store: {project.results}\n" in printed


def test_gc_lists_at_most_fifty_objects(project, capsys):
    for number in range(53):
        publish(project, f"u{number}")
    assert main(["gc", "--keep-days", "-1"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("stage/u") == 50
    assert "and 3 more" in printed


def test_gc_deletes_nothing_while_registered_results_are_missing(project, tmp_path, capsys):
    named = publish(project, "named", project.results)
    free, moved = publish(project, "free"), publish(project, "moved", tmp_path / "other")
    results_index.register_results(project.store, tmp_path / "other")
    (tmp_path / "other").rename(tmp_path / "away")
    assert main(["gc", "--keep-days", "-1"]) == 0
    assert f"results in this store: {tmp_path}/other (missing" in capsys.readouterr().out
    assert main(["gc", "--keep-days", "-1", "--delete"]) == 1
    assert f"{tmp_path}/other" in capsys.readouterr().err
    assert all(project.store.find(digest) for digest in (named, free, moved))
    assert main(["gc", "--keep-days", "-1", "--delete", "--forget", str(tmp_path / "other")]) == 0
    assert capsys.readouterr().out.startswith("2 objects, 0.0 MB, deleted")
    assert [bool(project.store.find(digest)) for digest in (named, free, moved)] == [True, False, False]
