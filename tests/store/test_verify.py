import os
import shutil

import pytest

from nephroscale.store import results_index, verify
from nephroscale.store.objects import Store
from nephroscale.store.receipts import Receipt, settle_receipt
from nephroscale.store.recipe import Recipe
from nephroscale.store.records import Records


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def publish(store, text, *, folder=False):
    with store.scratch() as scratch:
        out = scratch / "out"
        if folder:
            (out / "sub").mkdir(parents=True)
            (out / "sub/a").write_text(text)
            (out / "b").write_text(text * 2)
        else:
            out.write_text(text)
        return store.publish(out)


def unlock(path):
    for inner in [path, *path.rglob("*")]:
        inner.chmod(0o700)


def flip(path):
    path.chmod(0o600)
    state = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


DAMAGES = {
    "flipped": lambda path: flip(path / "sub/a"),
    "truncated": lambda path: os.truncate(path / "sub/a", 1),
    "missing": lambda path: (path / "sub/a").unlink(),
    "added": lambda path: (path / "sub/new").write_text(""),
    "renamed": lambda path: (path / "b").rename(path / "c"),
    "replaced by a link": lambda path: ((path / "b").rename(path.parent / "x"), (path / "b").symlink_to("../x")),
    "gone": shutil.rmtree,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_kind_of_damage_is_found_and_set_aside(store, tmp_path, damage):
    kept, spoiled = publish(store, "kept", folder=True), publish(store, "spoiled", folder=True)
    results = tmp_path / "results"
    settle_receipt(results / "s/u.json", results / "s/u", Receipt("s", "u", "accepted", **spoiled._asdict()), store)
    results_index.register_results(store, results)
    unlock(store.object_path(spoiled.digest))
    DAMAGES[damage](store.object_path(spoiled.digest))
    found = [damage for damage in verify.verify(store, workers=1) if not damage.digest.startswith("objects/")]
    assert [(d.digest, d.receipts) for d in found] == [(spoiled.digest, [str(results / "s/u.json")])]
    assert store.find(kept.digest)
    assert store.find(spoiled.digest) is None
    assert publish(store, "spoiled", folder=True) == spoiled
    assert [d for d in verify.verify(store, workers=1) if not d.digest.startswith("objects/")] == []


def test_a_receipt_whose_object_and_manifest_are_missing_is_reported(store, tmp_path):
    lost = publish(store, "lost")
    results = tmp_path / "results"
    settle_receipt(results / "u.json", results / "u", Receipt("s", "u", "accepted", **lost._asdict()), store)
    results_index.register_results(store, results)
    store.remove(lost.digest)
    (damage,) = verify.verify(store, workers=1)
    assert (damage.digest, damage.fault, damage.receipts) == (lost.digest, "missing", [str(results / "u.json")])


def test_a_resumed_verification_reports_what_was_found_before(store):
    digests = sorted(publish(store, f"text {number}").digest for number in range(12))
    flip(store.object_path(digests[2]))
    seen = []

    def stop(progress):
        seen.append(progress.done)
        if progress.done >= 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify.verify(store, stop, workers=1)
    assert "objects verified" in verify.interrupted(store)
    seen.clear()
    (damage,) = verify.verify(store, seen.append, workers=1)
    assert damage.digest == digests[2]
    assert seen[0].done >= 5
    assert seen[-1].done == seen[-1].total
    assert verify.interrupted(store) is None
    assert verify.verify(store, workers=1) == []


def test_a_restarted_verification_reads_every_object(store):
    digest = publish(store, "text").digest
    verify.VerificationLog(store).add([f"intact {digest}"])
    flip(store.object_path(digest))
    sizes = []
    assert len(verify.verify(store, lambda progress: sizes.append(progress.size), workers=1, restart=True)) == 1
    assert sizes[-1] == 4


def test_several_processes_find_the_same_damage_as_one(store):
    digests = sorted(publish(store, f"text {number}").digest for number in range(40))
    for digest in digests[::10]:
        flip(store.object_path(digest))
    assert [damage.digest for damage in verify.verify(store, workers=2)] == digests[::10]


def test_files_that_are_no_objects_are_reported(store):
    digest = publish(store, "text").digest
    (store.path / "objects/notes.txt").write_text("x")
    (store.path / f"objects/{digest[:2]}/half").write_text("x")
    assert [damage.digest for damage in verify.verify(store, workers=1)] == [
        f"objects/{digest[:2]}/half",
        "objects/notes.txt",
    ]


def test_a_changed_record_is_reported(store):
    found = publish(store, "text")
    records, recipe = Records(store), Recipe("s")
    receipt = Receipt("s", "u", "accepted", **found._asdict(), figures={"n": 0.333})
    records.add(recipe, receipt, {"node": "a"})
    assert verify.verify(store, workers=1) == []
    path = records.path(recipe.digest)
    path.write_text(path.read_text().replace("0.333", "0.999"))
    (damage,) = verify.verify(store, workers=1)
    assert (damage.digest, damage.kind) == (f"records/{recipe.digest[:2]}/{recipe.digest}.json", "record")


def test_an_incomplete_line_of_a_killed_verification_is_ignored(store):
    digest = publish(store, "text").digest
    log = verify.VerificationLog(store)
    with log.path.open("a") as stream:
        stream.write(f"intact {digest[:40]}")
    assert verify.VerificationLog(store).intact == set()
    verify.VerificationLog(store).add([f"intact {digest}"])
    assert verify.VerificationLog(store).intact == {digest}
