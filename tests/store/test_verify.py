import os
import shutil

import pytest

from nephroscale.commands.store import progress_line
from nephroscale.store import results_index, verify
from nephroscale.store.objects import Store
from nephroscale.store.receipts import Receipt, settle_receipt
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
def test_every_kind_of_damage_is_found_named_and_set_aside(store, tmp_path, damage):
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


def test_a_receipt_without_its_object_is_told_even_where_the_manifest_went_too(store, tmp_path):
    lost = publish(store, "lost")
    results = tmp_path / "results"
    settle_receipt(results / "u.json", results / "u", Receipt("s", "u", "accepted", **lost._asdict()), store)
    results_index.register_results(store, results)
    store.remove(lost.digest)
    (damage,) = verify.verify(store, workers=1)
    assert (damage.digest, damage.fault, damage.receipts) == (lost.digest, "missing", [str(results / "u.json")])


def test_an_interrupted_verification_is_taken_up_and_tells_what_it_had_found(store):
    digests = sorted(publish(store, f"text {number}").digest for number in range(12))
    flip(store.object_path(digests[2]))
    seen = []

    def stop(progress):
        seen.append(progress.done)
        if progress.done >= 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify.verify(store, stop, workers=1)
    assert "objects verified" in verify.resumes(store)
    seen.clear()
    (damage,) = verify.verify(store, seen.append, workers=1)
    assert damage.digest == digests[2]
    assert seen[0].done >= 5
    assert seen[-1].done == seen[-1].total
    assert verify.resumes(store) is None
    assert verify.verify(store, workers=1) == []


def test_beginning_anew_reads_everything(store):
    digest = publish(store, "text").digest
    verify.Notes(store).add([f"sound {digest}"])
    flip(store.object_path(digest))
    sizes = []
    assert len(verify.verify(store, lambda progress: sizes.append(progress.size), workers=1, restart=True)) == 1
    assert sizes[-1] == 4


def test_many_processes_find_what_one_finds(store):
    digests = sorted(publish(store, f"text {number}").digest for number in range(40))
    for digest in digests[::10]:
        flip(store.object_path(digest))
    assert [damage.digest for damage in verify.verify(store, workers=2)] == digests[::10]


def test_strays_among_the_objects_are_told(store):
    digest = publish(store, "text").digest
    (store.path / "objects/notes.txt").write_text("x")
    (store.path / f"objects/{digest[:2]}/half").write_text("x")
    assert [damage.digest for damage in verify.verify(store, workers=1)] == [
        f"objects/{digest[:2]}/half",
        "objects/notes.txt",
    ]


def test_a_changed_record_is_told(store):
    found = publish(store, "text")
    records, recipe = Records(store), "ab" * 32
    receipt = Receipt("s", "u", "accepted", **found._asdict(), figures={"n": 0.333})
    records.add(recipe, {}, receipt, {"node": "a"})
    assert verify.verify(store, workers=1) == []
    path = records.path(recipe)
    path.write_text(path.read_text().replace("0.333", "0.999"))
    (damage,) = verify.verify(store, workers=1)
    assert (damage.digest, damage.kind) == (f"records/ab/{recipe}.json", "record")


def test_half_a_line_of_a_killed_verification_says_nothing(store):
    digest = publish(store, "text").digest
    notes = verify.Notes(store)
    with notes.path.open("a") as stream:
        stream.write(f"sound {digest[:40]}")
    assert verify.Notes(store).sound == set()
    verify.Notes(store).add([f"sound {digest}"])
    assert verify.Notes(store).sound == {digest}


def test_the_progress_line_tells_share_rate_and_time_left():
    line = progress_line(verify.Progress(30, 100, 2_000_000_000), 10, 20.0)
    assert " 30%" in line
    assert "30 of 100 objects, 2.0 GB, 100 MB/s, 70 s left" in line
    assert "left" not in progress_line(verify.Progress(0, 0, 0), 0, 0.0)
