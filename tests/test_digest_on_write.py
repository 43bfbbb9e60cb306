import time
from pathlib import Path

import numpy as np
import pytest

from nephroscale import arrays, digest_on_write
from nephroscale.store import digest
from nephroscale.store.digest import digest_tree
from nephroscale.store.objects import Store


@pytest.fixture
def read(monkeypatch):
    """The files that are read for their digest."""
    found = []
    original = digest.digest_file
    monkeypatch.setattr(digest, "digest_file", lambda path: found.append(Path(path).name) or original(path))
    return found


def test_a_file_digested_while_written_is_not_read_again(tmp_path, read):
    store = Store(tmp_path / "store")
    with store.scratch() as scratch:
        arrays.write_arrays(scratch / "out", {"a": np.arange(1000), "b": np.zeros((3, 4))}, {"k": 1})
        (scratch / "out" / "note.txt").write_text("by another program")
        published = store.publish(scratch / "out")
    assert read == ["note.txt"]
    assert digest_tree(store.object_path(published.digest))[0] == published.digest


def test_a_file_changed_after_it_was_digested_is_read_again(tmp_path, read):
    store = Store(tmp_path / "store")
    with store.scratch() as scratch:
        arrays.write_arrays(scratch / "out", {"a": np.arange(1000)})
        time.sleep(0.02)  # longer than the clock of any file system ticks
        (file,) = (scratch / "out/a/c").iterdir()
        data = bytearray(file.read_bytes())
        data[0] ^= 1
        file.write_bytes(data)
        published = store.publish(scratch / "out")
    assert read == [file.name]
    assert store.damage(published.digest) is None


def test_a_digest_is_valid_for_one_file_and_one_moment(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    digest_on_write.remember_digest(path, b"abc")
    assert digest_on_write.pop_digest(path, path.stat()) == digest.digest_bytes(b"abc")
    assert digest_on_write.pop_digest(path, path.stat()) is None
    digest_on_write.remember_digest(path, b"abc")
    path.unlink()
    path.write_bytes(b"abcd")
    assert digest_on_write.pop_digest(path, path.stat()) is None
