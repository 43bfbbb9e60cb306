import os
import socket
import time

import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.store import gc, results_index
from nephroscale.store.objects import Store
from nephroscale.store.receipts import Receipt, settle_receipt


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def publish(store, text, age=0.0):
    with store.scratch() as scratch:
        (scratch / "out").write_text(text)
        published = store.publish(scratch / "out")
    os.utime(store.manifest_path(published.digest), (time.time() - age,) * 2)
    return published


def test_only_what_nothing_names_is_collected(store, tmp_path):
    old = 10 * 86400.0
    named, young, pinned, free = (publish(store, t, a) for t, a in [("n", old), ("y", 0), ("p", old), ("f", old)])
    results = tmp_path / "results"
    settle_receipt(results / "u.json", results / "u", Receipt("s", "u", "accepted", **named._asdict()), store)
    results_index.register_results(store, results)
    with results_index.pinned(store, [pinned.digest]):
        assert gc.collect(store).objects == [(free.digest, 1)]
        assert store.find(free.digest)
        gc.collect(store, delete=True)
    assert store.find(free.digest) is None
    assert all(store.find(p.digest) for p in (named, young, pinned))
    assert gc.collect(store).objects == [(pinned.digest, 1)]


def publish_folder(store, text):
    with store.scratch() as scratch:
        (scratch / "out").mkdir()
        (scratch / "out/a").write_text(text)
        return store.publish(scratch / "out")


def settle(store, results, published, unit="u"):
    receipt = Receipt("s", unit, "accepted", **published._asdict())
    settle_receipt(results / f"{unit}.json", results / unit, receipt, store)
    results_index.register_results(store, results)


def set_age(path, seconds):
    for inner in [*path.rglob("*"), path]:
        os.utime(inner, (time.time() - seconds,) * 2)


@pytest.mark.parametrize("absence", ["moved", "not mounted"])
def test_nothing_is_deleted_while_registered_results_are_absent(store, tmp_path, absence):
    named, results = publish(store, "n"), tmp_path / "results"
    settle(store, results, named)
    results.rename(tmp_path / "elsewhere")
    if absence == "not mounted":
        results.mkdir()
    assert results_index.absent_results(store) == [results]
    with pytest.raises(NephroscaleError, match="--forget") as error:
        gc.collect(store, keep_seconds=-1, delete=True)
    assert error.value.where == str(results)
    assert store.find(named.digest)
    with pytest.raises(NephroscaleError, match="not registered"):
        results_index.forget_results(store, tmp_path / "other")
    results_index.forget_results(store, results)
    assert gc.collect(store, keep_seconds=-1, delete=True).objects == [(named.digest, 1)]
    assert store.find(named.digest) is None


@pytest.mark.parametrize("closed", ["results", "results/u.json"])
def test_nothing_is_deleted_while_results_cannot_be_read(shared_folder, as_user, closed):
    store = Store(shared_folder / "store", "group")
    settle(store, shared_folder / "results", named := publish_folder(store, "n"))
    settle(store, shared_folder / "readable", publish_folder(store, "r"))
    (shared_folder / "results/v.json").write_text((shared_folder / "results/u.json").read_text())
    (shared_folder / closed).chmod(0o700)

    def collect():
        try:
            gc.collect(Store(store.path, "group"), keep_seconds=-1, delete=True)
        except NephroscaleError as fault:
            return fault.where

    assert as_user(65533, collect).result() == str(shared_folder / closed)
    assert store.find(named.digest)


def test_objects_of_another_user_are_kept_and_listed(shared_folder, as_user):
    store = Store(shared_folder / "store", "group")
    folder, file = publish_folder(store, "folder"), publish(store, "file")

    def collect():
        return gc.collect(Store(store.path, "group"), keep_seconds=-1, delete=True)

    assert as_user(65533, collect).result() == [[[file.digest, 4]], [], [folder.digest]]
    assert store.manifest(folder.digest)
    assert store.find(folder.digest)
    assert store.find(file.digest) is None


def test_scratch_folders_of_running_jobs_are_spared(store):
    dead = os.fork()
    if dead == 0:
        os._exit(0)
    os.waitpid(dead, 0)
    here, days = socket.gethostname(), 86400.0
    ages = {
        f"{here}-{dead}-aaaaaaaa": 2,
        f"{here}-{dead}-bbbbbbbb": 0.5,
        "far-off-1-cccccccc": 2,
        "far-off-1-dddddddd": 15,
    }
    for name, age in ages.items():
        (store.folder("tmp", name, "out") / "half").write_text("half")
        set_age(store.path / "tmp" / name, age * days)
    (store.folder("tmp", "far-off-1-eeeeeeee", "out") / "half").write_text("just written")
    os.utime(store.path / "tmp/far-off-1-eeeeeeee", (1, 1))
    with store.scratch() as scratch:
        (scratch / "out").write_text("long job")
        set_age(scratch, 30 * days)
        gc.collect(store, delete=True)
        left = {path.name[-1] for path in store.path.glob("tmp/*") if path != scratch}
        assert (scratch / "out").exists()
    assert left == {"b", "c", "e"}


def test_what_killed_jobs_leave_is_collected(store, monkeypatch):
    old, now = 15 * 86400.0, time.time()
    for name in ("old", "young"):
        (store.folder("work", name) / "checkpoint").write_text("x")
        store.write_text(store.path / f"pins/far-off-{len(name)}.json", "[]")
    set_age(store.path / "work/old", old)
    os.utime(store.path / "work/young", (1, 1))
    set_age(store.path / "pins/far-off-3.json", old)
    published = publish_folder(store, "text")
    store.manifest_path(published.digest).unlink()
    gone = [store.path / "pins/far-off-3.json", store.path / "work/old"]
    assert gc.collect(store) == ([], gone, [])
    gc.collect(store, delete=True)
    assert [path.exists() for path in gone] == [False, False]
    assert (store.path / "work/young/checkpoint").exists()
    monkeypatch.setattr(gc.time, "time", lambda: now + 2 * 86400)
    assert gc.collect(store, delete=True).objects == [(published.digest, 4)]
    assert not store.object_path(published.digest).exists()


def test_an_old_pin_of_a_running_job_is_heeded(store):
    pinned = publish(store, "p", 86400.0 * 20)
    with results_index.pinned(store, [pinned.digest]):
        set_age(next(store.path.glob("pins/*")), 86400.0 * 20)
        assert gc.collect(store, delete=True) == ([], [], [])
