"""Killing a writer at random moments, writing twice at once, and a full disk: the store stays whole."""

import errno
import json
import os
import random
import secrets
import signal
import tempfile
import time
from pathlib import Path

import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.store import gc, results_index
from nephroscale.store.folder import remove_tree
from nephroscale.store.objects import Store
from nephroscale.store.receipts import Receipt, read_receipt, settle_receipt
from nephroscale.store.recipe import Recipe
from nephroscale.store.records import Records

KILLS = 60
NOBODY = 65534
USERS = ["self", *(["another"] if os.geteuid() == 0 else [])]


def publish_one(store, results, number):
    """Work like a job (make, publish, record, settle), and sometimes like `gc`."""
    name = f"u{number % 5}"
    with store.scratch() as scratch:
        out = scratch / "out"
        if number % 3:
            for part in range(1 + number % 4):
                (out / f"a{part}/c").mkdir(parents=True)
                (out / f"a{part}/c/0").write_text(f"{number % 11} {part} " * (1 + 2000 * (number % 2)))
        else:
            out.write_text(f"file {number % 11} " * 500)
        receipt = Receipt("stage", "u", "accepted", **store.publish(out)._asdict())
    recipe = Recipe("stage", rows=[number % 3, number % 4, number % 11])  # decides the bytes above
    receipt = Records(store).add(recipe, receipt, {"started": f"{number} by {os.getpid()}"})
    receipt = Receipt(**{**vars(receipt), "unit": name})
    settle_receipt(results / f"{name}.json", results / name, receipt, store)
    if number % 7 == 0:
        gc.collect(store, keep_seconds=-1, delete=True)


def work_until_killed(folder, user):
    """In a forked child: publish for ever. No test framework may go on in here, whatever happens."""
    try:
        if user == "another":
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        store = Store(folder / "store")
        results_index.register_results(store, folder / "results")
        for number in range(10**9):
            publish_one(store, folder / "results", number)
    finally:
        os._exit(1)


def faults(folder):
    """List the violated invariants of the store."""
    store, found = Store(folder / "store"), []
    found += [
        f"{path} differs from the digest in its name"
        for path in store.path.glob("objects/*/*")
        if store.damage(path.name)
    ]
    for path in (folder / "results").glob("u?.json"):
        receipt = read_receipt(path)
        if receipt is None:
            found.append(f"{path.name} is half a receipt")
        elif store.find(receipt.digest) is None:
            found.append(f"{path.name} has no object")
    for path in store.path.glob("records/*/*.json"):
        try:
            json.loads(path.read_text())
        except ValueError:
            found.append(f"{path.name} is half a record")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("user", USERS)
def test_a_writer_killed_at_any_moment_leaves_nothing_half_done(user):
    seed = int(os.environ.get("NEPHROSCALE_KILL_SEED") or secrets.randbits(32))
    draw = random.Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="kill-"))
    try:
        (folder / "results").mkdir()
        if user == "another":
            for path in (folder, folder / "results"):
                os.chown(path, NOBODY, NOBODY)
        for turn in range(KILLS):
            child = os.fork()
            if child == 0:
                work_until_killed(folder, user)
            time.sleep(draw.uniform(0.0, 0.06))
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, "the writer failed by itself"
            assert faults(folder) == [], f"seed {seed}, kill {turn}"
        store = Store(folder / "store")
        assert list(store.path.glob("objects/*/*")), "no writer came to publish anything"
        for number in range(11):
            publish_one(store, folder / "results", number)
        assert faults(folder) == []
    finally:
        remove_tree(folder)


@pytest.mark.slow
def test_two_processes_that_make_the_same_object_at_once_end_with_one(tmp_path):
    (tmp_path / "results").mkdir()
    start = time.time() + 0.2
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                store = Store(tmp_path / "store")
                time.sleep(max(0.0, start - time.time()))
                for number in range(1, 60):
                    if number % 7:
                        publish_one(store, tmp_path / "results", number)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
    assert faults(tmp_path) == []
    assert Records(Store(tmp_path / "store")).conflicts() == []
    assert list((tmp_path / "store/tmp").iterdir()) == []


@pytest.fixture
def small_disk(mount_small):
    return mount_small(1)


def publish_until_full(store, results, ballast=None):
    for number in range(2, 1000):
        if ballast:
            with ballast.open("ab") as stream:
                stream.write(b"\0" * 8192)
        publish_one(store, results, number if number % 7 else number + 1)


def test_a_full_disk_gives_one_message_and_the_store_goes_on_when_there_is_space(small_disk):
    store, results = Store(small_disk / "store"), small_disk / "results"
    results.mkdir()
    publish_one(store, results, 1)
    ballast = small_disk / "ballast"
    with pytest.raises(NephroscaleError, match="disk is full"):
        publish_until_full(store, results, ballast)
    assert faults(small_disk) == []
    assert list((store.path / "tmp").iterdir()) == []
    ballast.unlink(missing_ok=True)
    for number in range(1, 7):
        publish_one(store, results, number)
    assert faults(small_disk) == []


@pytest.mark.parametrize("after", range(12))
def test_a_refused_write_at_any_step_leaves_the_store_whole(tmp_path, monkeypatch, after):
    store, results = Store(tmp_path / "store"), tmp_path / "results"
    results.mkdir()
    publish_one(store, results, 1)
    left = [after]

    def refuse(original):
        def call(*arguments, **keywords):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return original(*arguments, **keywords)

        return call

    with monkeypatch.context() as patch:
        for name in ("link", "rename", "replace", "symlink"):
            patch.setattr(os, name, refuse(getattr(os, name)))
        with pytest.raises(NephroscaleError, match="disk is full"):
            publish_until_full(store, results)
    assert faults(tmp_path) == []
    assert list((store.path / "tmp").iterdir()) == []
