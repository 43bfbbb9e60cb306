"""Another user of a shared store, where the tests may become one."""

import json
import os
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

import pytest

GROUP = 65534


class Child:
    """A process of another user of the group that runs a function and returns its result as JSON."""

    def __init__(self, user, function):
        handle, write = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:  # no test framework may go on in here, whatever happens
            try:
                os.setgroups([])
                os.setresgid(GROUP, GROUP, GROUP)
                os.setresuid(user, user, user)
                os.umask(0o022)
                with os.fdopen(write, "w") as stream:
                    json.dump(function(), stream)
            except BaseException:
                traceback.print_exc(file=sys.__stderr__)
            finally:
                os._exit(0)
        os.close(write)
        self._stream = os.fdopen(handle)

    def result(self):
        with self._stream as stream:
            data = stream.read()
        os.waitpid(self._pid, 0)
        assert data, "the other user's process failed"
        return json.loads(data)


@pytest.fixture
def as_user():
    """Start a function as the user with this id; ``result()`` waits for its result."""
    if os.geteuid():
        pytest.skip("only root can become another user")
    return Child


@pytest.fixture
def shared_folder():
    """A folder that root and the group share."""
    if os.geteuid():
        pytest.skip("only root can share a folder with other users")
    folder = Path(tempfile.mkdtemp(prefix="shared-"))
    os.chown(folder, 0, GROUP)
    folder.chmod(0o2770)
    yield folder
    shutil.rmtree(folder)
