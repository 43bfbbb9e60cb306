"""A full disk gives one message, whichever library meets it."""

import errno

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import save_file

from nephroscale.errors import NephroscaleError
from nephroscale.store.disk import full_disk


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
