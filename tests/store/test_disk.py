"""A full disk gives one message, whichever library meets it."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import save_file

from nephroscale.errors import NephroscaleError
from nephroscale.store.disk import full_disk, read_file


@pytest.fixture
def small_disk(mount_small):
    return mount_small(1)


def test_weights_that_do_not_fit_are_reported_as_a_full_disk(small_disk):
    with pytest.raises(NephroscaleError, match="The disk is full") as raised, full_disk(small_disk):
        save_file({"weights": np.zeros(1 << 20)}, small_disk / "weights.safetensors")
    assert isinstance(raised.value.__cause__, SafetensorError)
    assert str(small_disk) in str(raised.value)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError("Unable to write (errno = 28, error message = 'No space left on device')"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        SafetensorError("I/O error: File too large (os error 27)"),
        RuntimeError("write: No space left on device"),
    ],
)
def test_every_way_of_saying_so_is_understood(tmp_path, error):
    with pytest.raises(NephroscaleError, match="The disk is full") as raised, full_disk(tmp_path):
        raise error
    with pytest.raises(NephroscaleError) as again, full_disk(tmp_path / "outer"):
        raise raised.value
    assert again.value is raised.value


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "No space left on device.svs"),
        ValueError("the picture is a file too large"),
        SafetensorError("I/O error: No such file or directory (os error 2)"),
    ],
)
def test_other_errors_pass_as_they_are(tmp_path, error):
    with pytest.raises(type(error)) as raised, full_disk(tmp_path):
        raise error
    assert raised.value is error


@pytest.mark.parametrize("content", [b"", b"{}\n", b"x" * (1 << 21)])
def test_a_file_is_read_whole_with_its_state(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    found, state = read_file(path)
    assert found == content
    assert state.st_mtime_ns == path.stat().st_mtime_ns


def test_a_file_that_is_longer_than_its_state_says_is_read_to_its_end():
    found, state = read_file("/proc/self/environ")
    assert state.st_size == 0
    assert found == Path("/proc/self/environ").read_bytes()


def test_a_file_that_comes_in_pieces_is_read_to_its_end(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)))
    read = os.read
    monkeypatch.setattr(os, "read", lambda handle, size: read(handle, min(size, 7)))
    assert read_file(path)[0] == bytes(range(100))


@pytest.mark.parametrize("path", ["missing", "."])
def test_no_file_is_left_open_where_there_is_nothing_to_read(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    before = list(Path("/proc/self/fd").iterdir())
    with pytest.raises((FileNotFoundError, IsADirectoryError)):
        read_file(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == len(before)
