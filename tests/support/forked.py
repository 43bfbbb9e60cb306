"""Snakemake and the command `nephroscale`, forked off one process that has imported Snakemake.

A start of Python with the import of Snakemake costs 1.5 CPU seconds, and the tests call these programs more than a
hundred times. The process has imported no module of nephroscale, and a fork ends as any program does.
"""

from __future__ import annotations

import json
import os
import runpy
import select
import subprocess
import sys
import tempfile
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


SECONDS = 1200


class Ended(NamedTuple):
    """The exit status of a program, and what it printed."""

    code: int
    output: str


def run_module(
    name: str, arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str], in_order: bool
) -> Ended:
    """Run `python -m name arguments` in a folder.

    Parameters
    ----------
    name
        Of the module.
    arguments
        Its command line.
    folder
        The working directory.
    environment
        All variables. Those that Python reads when it starts are not heeded, except PYTHONPATH.
    in_order
        Whether standard output and error are one stream; otherwise the output holds all of the first, then the second.
    """
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        streams = [f"/proc/{os.getpid()}/fd/{stream.fileno()}" for stream in (output, output if in_order else errors)]
        request = {"name": name, "arguments": list(arguments), "folder": str(folder), "streams": streams}
        server.stdin.write(json.dumps(request | {"environment": dict(environment)}) + "\n")
        server.stdin.flush()
        if not select.select([server.stdout], [], [], SECONDS)[0]:
            server.kill()
            raise TimeoutError(f"{name} {' '.join(arguments)} takes more than {SECONDS} s")
        code = int(server.stdout.readline())
        printed = []
        for stream in (output, errors):
            stream.seek(0)
            printed.append(stream.read().decode())
        return Ended(code, "".join(printed))


@lru_cache(1)
def _server() -> subprocess.Popen[str]:
    """The process that forks; it ends with this one, which then closes the pipe."""
    return subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ""},
    )


def _fork_until_child(requests: IO[str], answers: IO[str]) -> dict[str, Any]:
    """Fork a child for each request and report how it ended; return in the child, with its request."""
    while line := requests.readline():
        number = os.fork()
        if not number:
            request: dict[str, Any] = json.loads(line)
            return request
        _, status = os.waitpid(number, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
        answers.flush()
    os._exit(0)


def _become(request: dict[str, Any]) -> None:
    """Turn this fork into the program of a request, up to its first line."""
    for number, name in enumerate([os.devnull, *request["streams"]]):
        stream = os.open(name, os.O_WRONLY | os.O_APPEND if number else os.O_RDONLY)
        os.dup2(stream, number)
        os.close(stream)
    folder = request["folder"]
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(request["environment"])
    tempfile.tempdir = None
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:1] = [folder, *paths]  # the first was the folder of this file


if __name__ == "__main__":
    assert not [module for module in sys.modules if module.partition(".")[0] == "nephroscale"]
    given = _fork_until_child(sys.stdin, sys.stdout)
    _become(given)
    sys.argv = ["-m", *given["arguments"]]
    sys.orig_argv = [sys.executable, "-m", given["name"], *given["arguments"]]
    runpy.run_module(given["name"], run_name="__main__", alter_sys=True)
