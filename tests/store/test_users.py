"""Two users of one store: each can use the objects of the other at once, or gets a message with the fix."""

import contextlib
import io
import os
import time
from pathlib import Path

from nephroscale.store import results_index, verify
from nephroscale.store.objects import Store


def publish(store, text):
    with store.scratch() as scratch:
        (scratch / "out").mkdir()
        (scratch / "out/a").write_text(text)
        return store.publish(scratch / "out").digest


def test_folders_of_a_shared_store_are_shared_at_once(shared_folder, as_user):
    path = shared_folder / "store"

    def be_slow():
        chmod = Path.chmod

        def wait(*arguments, **keywords):
            time.sleep(0.3)
            chmod(*arguments, **keywords)

        Path.chmod = wait
        return publish(Store(path, "group"), "same")

    def be_quick():
        while not list(shared_folder.iterdir()):
            time.sleep(0.01)
        digest = publish(Store(path, "group"), "same")
        return digest if Store(path, "group").find(digest) else None

    children = [as_user(user, function) for user, function in [(65533, be_slow), (65532, be_quick)]]
    one, other = (child.result() for child in children)
    assert one == other
    store = Store(path, "group")
    assert {oct(folder.stat().st_mode & 0o7777) for folder in [path, *path.iterdir()] if folder.is_dir()} == {"0o2770"}
    assert list((path / "tmp").iterdir()) == []
    assert verify.verify(store, workers=1) == []


def test_an_object_of_a_shared_store_can_be_read_before_it_is_closed(shared_folder, as_user):
    path = shared_folder / "store"

    def be_slow():
        chmod = Path.chmod

        def wait(self, mode, **keywords):
            if self.parent.parent.name == "objects":
                time.sleep(1.0)
            chmod(self, mode, **keywords)

        Path.chmod = wait
        os.umask(0o077)
        return publish(Store(path, "group"), "same")

    def be_quick():
        while not list(path.glob("objects/*/*")):
            time.sleep(0.01)
        return publish(Store(path, "group"), "same")

    children = [as_user(user, function) for user, function in [(65533, be_slow), (65532, be_quick)]]
    one, other = (child.result() for child in children)
    assert one == other


def test_a_verification_of_one_user_is_taken_up_by_another(shared_folder, as_user):
    store = Store(shared_folder / "store", "group")
    digest = publish(store, "text")

    def begin():
        verify.VerificationLog(Store(store.path, "group")).add([f"intact {digest}"])

    def go_on():
        log = verify.VerificationLog(Store(store.path, "group"))
        log.add(["intact " + "0" * 64])
        return len(log.intact), verify.verify(Store(store.path, "group"), workers=1)

    as_user(65533, begin).result()
    assert as_user(65532, go_on).result() == [1, []]


def test_an_unreadable_object_is_reported_with_the_fix(shared_folder, as_user):
    store = Store(shared_folder / "store", "private")
    digest = publish(store, "text")

    def find():
        with contextlib.redirect_stderr(io.StringIO()) as printed:
            assert Store(store.path).find(digest) is None
        return printed.getvalue()

    printed = as_user(65533, find).result()
    assert "made again" not in printed
    assert "their owner has to share them (store.mode: group)" in printed


def test_unreadable_objects_are_reported_and_unreadable_receipts_skipped(shared_folder, as_user):
    store = Store(shared_folder / "store", "group")
    closed, _ = publish(store, "closed"), publish(store, "open")
    store.object_path(closed).chmod(0o700)
    (shared_folder / "results").mkdir()
    results_index.register_results(store, shared_folder / "results")
    (shared_folder / "results").chmod(0o700)

    def inspect_store():
        with contextlib.redirect_stderr(io.StringIO()) as printed:
            damages = verify.verify(Store(store.path, "group"), workers=1)
        return [(damage.digest, damage.kind) for damage in damages], printed.getvalue()

    damages, printed = as_user(65533, inspect_store).result()
    assert damages == [[closed, "unreadable"]]
    assert str(shared_folder / "results") in printed
