"""Fork servers of `multiprocessing` that are themselves forked off a process which has imported their packages.

Each run of Snakemake with jobs starts a fork server (engine/snakemake/forked_jobs.py), and its imports of torch and
scikit-learn take longer than the jobs of a small test. The modules of the project are not imported here.
"""

from __future__ import annotations

import ast
import gc
import json
import os
import random
import select
import socket
import subprocess
import sys
from contextlib import suppress
from multiprocessing import forkserver, util
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

#: Variables that no package reads when it is imported: those of a run, a test or a job, and two that are read when a
#: process starts, to which OpenCV adds its folder and Snakemake that of the project.
OTHER = ("NEPHROSCALE_", "PYTEST_", "TMP", "TEMP", "PWD", "OLDPWD", "_", "PYTHONPATH", "LD_LIBRARY_PATH")
STARTS = "from multiprocessing.forkserver import main; "


class Packages:
    """A process that imports what it is asked for, and forks off it.

    It is made by a process without threads, and ends with the last process that has this object.
    """

    def __init__(self) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("")  # a name of its own, outside the file system
        listener.listen()
        self._address = listener.getsockname()
        ended, self._alive = os.pipe()
        if not os.fork():
            os.close(self._alive)
            try:
                _answer(listener, ended)
            finally:
                os._exit(0)
        listener.close()
        os.close(ended)
        self._stand_ins: list[subprocess.Popen[bytes]] = []

    def use(self) -> None:
        """Let `multiprocessing` in this process have its fork server from here, where the environment is the same."""
        spawn: Callable[..., int] = util.spawnv_passfds

        def start(path: Any, arguments: list[str], passed: list[int]) -> int:
            command = arguments[-1]
            pid = self._fork(command, passed) if command.startswith(STARTS) else None
            return spawn(path, arguments, passed) if pid is None else pid

        util.spawnv_passfds = start

    def _fork(self, command: str, passed: list[int]) -> int | None:
        """Ask for a fork server; give the process that can be waited for in its place, or None where it is refused."""
        listener, alive, preload = (ast.literal_eval(each) for each in _call(command).args)
        assert {listener, alive} == set(passed)
        request = json.dumps([preload, dict(os.environ), str(Path.cwd())]).encode()
        ended, lives = os.pipe()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self._address)
            socket.send_fds(connection, [b"%12d" % len(request)], [listener, alive, lives, 1, 2])
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            accepted = connection.recv(1)
        os.close(lives)
        stand_in = subprocess.Popen(["cat"], stdin=ended, stdout=subprocess.DEVNULL) if accepted else None
        os.close(ended)
        if stand_in is None:
            return None
        self._stand_ins.append(stand_in)
        return stand_in.pid


def _call(command: str) -> ast.Call:
    statement = ast.parse(command).body[-1]
    assert isinstance(statement, ast.Expr)
    assert isinstance(statement.value, ast.Call)
    return statement.value


def _answer(listener: socket.socket, ended: int) -> None:
    """Fork for each request, until nobody is left to ask."""
    sys.path.insert(0, "")  # as `python -c` does
    environment = _read_at_import(dict(os.environ))
    while listener in select.select([listener, ended], [], [])[0]:
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        connection, _ = listener.accept()
        with connection:
            length, handles, _, _ = socket.recv_fds(connection, 12, 5)
            data = b""
            while len(data) < int(length):
                data += connection.recv(1 << 16)
            preload, asked, folder = json.loads(data)
            if environment == _read_at_import(asked):
                os.environ.update(asked)
                _import(preload)
                if not os.fork():
                    listener.close()
                    os.close(ended)
                    connection.sendall(b"1")
                    connection.close()
                    _serve(handles, preload, asked, folder)
        for handle in handles:
            os.close(handle)


def _read_at_import(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith(OTHER)}


def _import(modules: list[str]) -> None:
    for name in modules:
        with suppress(ImportError):
            __import__(name)
    gc.freeze()


def _serve(handles: list[int], preload: list[str], environment: dict[str, str], folder: str) -> None:
    """Be the fork server."""
    listener, alive, _lives, *streams = handles
    for number, handle in enumerate(streams, start=1):
        os.dup2(handle, number)
        os.close(handle)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["-c"]
    random.seed()
    try:
        forkserver.main(listener, alive, preload)
    finally:
        sys.stdout.flush()
        os._exit(0)
