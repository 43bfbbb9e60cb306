import multiprocessing
import os
import signal
import time

import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.store import objects
from nephroscale.store.digest import digest_tree
from nephroscale.store.objects import Store


def publish_directory(store, files):
    with store.scratch() as scratch:
        out = scratch / "out"
        for name, text in files.items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_text(text)
        return store.publish(out)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


FILES = {"a.txt": "alpha", "sub/b.txt": "beta"}


def test_published_objects_are_found_and_read_only(store):
    published = publish_directory(store, FILES)
    path = store.find(published.digest)
    assert digest_tree(path)[0] == published.digest
    assert (published.kind, published.size) == ("directory", 9)
    assert {oct(p.stat().st_mode & 0o777) for p in [path, path / "sub"]} == {"0o500"}
    assert oct((path / "a.txt").stat().st_mode & 0o777) == "0o400"
    assert list((store.path / "tmp").iterdir()) == []


def test_group_mode_lets_the_group_read(tmp_path):
    store = Store(tmp_path / "store", "group")
    path = store.find(publish_directory(store, FILES).digest)
    assert oct(path.stat().st_mode & 0o777) == "0o550"
    assert oct((path / "a.txt").stat().st_mode & 0o777) == "0o440"
    assert oct((store.path / "objects").stat().st_mode & 0o7777) == "0o2770"


def test_a_file_is_an_object_too_and_equal_ones_are_one(store):
    digests = set()
    for _ in range(2):
        with store.scratch() as scratch:
            (scratch / "out").write_bytes(b"same")
            digests.add(store.publish(scratch / "out"))
    (published,) = digests
    assert published.kind == "file"
    assert store.find(published.digest).read_bytes() == b"same"


def test_links_are_refused(store):
    with store.scratch() as scratch:
        (scratch / "out").mkdir()
        (scratch / "out" / "link").symlink_to("/etc/hostname")
        with pytest.raises(NephroscaleError, match="files and folders"):
            store.publish(scratch / "out")


def _damage(path, damage):
    path.chmod(0o700)
    (path / "a.txt").chmod(0o600)
    if damage == "flip":
        (path / "a.txt").write_text("alphA")
    elif damage == "truncate":
        (path / "a.txt").write_text("alp")
    elif damage == "remove":
        (path / "a.txt").unlink()
    else:
        (path / "c.txt").write_text("new")


DAMAGES = ["flip", "truncate", "remove", "add"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_object_is_set_aside_and_can_be_published_again(store, damage):
    published = publish_directory(store, FILES)
    _damage(store.object_path(published.digest), damage)
    assert "txt" in store.damage(published.digest)
    assert store.find(published.digest) is None
    assert len(list((store.path / "damaged").iterdir())) == 1
    assert publish_directory(store, FILES) == published
    assert store.find(published.digest) is not None


def _publish_damaged(store):
    """Publish objects; each kind of damage happens to one of them, one has no manifest, and one was deleted."""
    digests = [publish_directory(store, FILES | {"number": str(i)}).digest for i in range(12)]
    damaged = dict(zip(digests, DAMAGES, strict=False))
    for digest, damage in damaged.items():
        _damage(store.object_path(digest), damage)
    store.manifest_path(digests[4]).unlink()
    gone = store.object_path(digests[5])
    gone.chmod(0o700)
    gone.rename(store.path / "elsewhere")
    return digests, {*damaged, digests[5]}


@pytest.mark.parametrize("killed", [False, True])
def test_another_process_checks_the_files_of_many_objects(store, monkeypatch, killed):
    digests, bad = _publish_damaged(store)
    looked_at, check = [], objects._is_fresh
    monkeypatch.setattr(objects, "_MANY", 10)
    monkeypatch.setattr(objects, "_AT_A_TIME", 5)
    if killed:
        monkeypatch.setattr(objects, "_find_fresh", _die)
    store.check_ahead(digests)
    monkeypatch.setattr(objects, "_is_fresh", lambda top, digest: looked_at.append(digest) or check(top, digest))
    assert [digest for digest in digests if not store.has(digest)] == [each for each in digests if each in bad]
    assert looked_at == (digests if killed else digests[:6])
    looked_at.clear()
    assert store.has(digests[7])
    assert looked_at == [digests[7]]  # an answer counts once


def _die(store, digests):
    os.kill(os.getpid(), signal.SIGKILL)


def test_bytes_flipped_under_an_unchanged_time_are_found_when_reading_is_verified(store):
    published = publish_directory(store, FILES)
    file = store.object_path(published.digest) / "a.txt"
    times = file.stat()
    file.chmod(0o600)
    file.write_text("alphA")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert store.find(published.digest) is not None
    assert Store(store.path, verify_on_read=True).find(published.digest) is None


def test_an_object_copied_with_new_times_is_checked_once_and_kept(store):
    published = publish_directory(store, FILES)
    os.utime(store.object_path(published.digest) / "a.txt", (1, 1))
    assert store.find(published.digest) is not None
    assert {entry.mtime_ns for entry in store.manifest(published.digest) if entry.path == "a.txt"} == {10**9}


def test_an_object_without_its_manifest_is_hashed_and_gets_it_back(store):
    published = publish_directory(store, FILES)
    store.manifest_path(published.digest).unlink()
    assert store.find(published.digest) is not None
    assert store.manifest(published.digest) is not None


def test_a_full_disk_gives_one_message_and_leaves_nothing_behind(store):
    def fill_the_disk():
        with store.scratch() as scratch:
            (scratch / "half").write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(NephroscaleError, match="disk is full"):
        fill_the_disk()
    assert list((store.path / "tmp").iterdir()) == []


def _publish_many(path, count):
    store = Store(path)
    for number in range(count):
        publish_directory(store, {"n.txt": str(number % 7), "sub/m.txt": "m" * 10000})


@pytest.mark.slow
def test_two_writers_of_the_same_objects_do_not_meet(store):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_publish_many, args=(store.path, 60)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    objects = list((store.path / "objects").glob("*/*"))
    assert len(objects) == 7
    assert all(store.damage(path.name) is None and store.find(path.name) for path in objects)


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.02, 0.05, 0.11, 0.17, 0.23])
def test_a_killed_writer_never_leaves_half_an_object(store, delay):
    context = multiprocessing.get_context("spawn")
    worker = context.Process(target=_publish_many, args=(store.path, 10**6))
    worker.start()
    while not list(store.path.glob("objects/*/*")) and worker.is_alive():
        time.sleep(0.01)
    time.sleep(delay)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    objects = list(store.path.glob("objects/*/*"))
    assert objects
    assert all(store.damage(path.name) is None for path in objects)
