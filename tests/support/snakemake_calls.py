"""Calls of Snakemake and of `nephroscale`, each in a process of its own, forked off one that has imported Snakemake.

The imports of Snakemake and of the packages below take two thirds of the time of a call that starts no job. The
project's own code is imported by each call, and the packages of its jobs are imported once for all calls
(support/forked_packages.py).
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from functools import cache

SECONDS = 1200
#: What each call imports beside Snakemake's command line, and nothing of the project.
IMPORTED = (
    *("snakemake.profiles", "snakemake.report.html_reporter", "snakemake.storage"),
    *("PIL.Image", "jsonschema", "orjson", "platformdirs", "safetensors", "smart_open"),
)


class Calls:
    """The process that is forked; it ends with the tests."""

    def __init__(self) -> None:
        command = [sys.executable, __file__]
        environment = {**os.environ, "PYTHONPATH": ""}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)

    def run(
        self,
        arguments: list[str],
        folder: str,
        streams: tuple[str, str],
        environment: dict[str, str],
        *,
        module: str = "snakemake",
        path: str | None = None,
        killed_after: float | None = None,
    ) -> int:
        """Run `python -m` with a module and arguments in a folder; the outputs go to two files, or to the same.

        `path` is what PYTHONPATH would name, which is read when Python starts. A call that still runs after the seconds
        `killed_after` is killed.
        """
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        call = [killed_after, module, path or folder, arguments, folder, streams, environment]
        process.stdin.write(json.dumps(call) + "\n")
        process.stdin.flush()
        if not select.select([process.stdout], [], [], SECONDS)[0]:
            process.kill()
            raise TimeoutError(f"{module} {' '.join(arguments)} did not end")
        return int(process.stdout.readline())


@cache
def calls() -> Calls:
    """The process of this worker."""
    return Calls()


def serve() -> str:
    """Fork for each line of the standard input, and print the exit status; a fork returns the name of its module."""
    for line in iter(sys.stdin.readline, ""):
        killed_after, module, path, *call = json.loads(line)
        child = os.fork()
        if not child:
            become(*call)
            sys.path.insert(0, path)
            return str(module)
        print(os.waitstatus_to_exitcode(wait(child, killed_after)), flush=True)
    sys.exit()


def wait(child: int, killed_after: float | None) -> int:
    """Wait for a child, which is killed after some seconds, and give its status."""
    end = time.monotonic() + (killed_after or 0)
    while killed_after is not None and time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.002)
    if killed_after is not None:
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def become(arguments: list[str], folder: str, streams: tuple[str, str], environment: dict[str, str]) -> None:
    """Make this process that of `python -m` with these arguments."""
    outputs = [(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, (1 + k,)) for k, path in enumerate(streams)]
    for path, flags, numbers in ((os.devnull, os.O_RDONLY, (0,)), *outputs):
        opened = os.open(path, flags, 0o644)
        for number in numbers:
            os.dup2(opened, number)
        os.close(opened)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:] = arguments


if __name__ == "__main__":
    sys.path[0] = tests = os.path.dirname(sys.path[0])  # noqa: PTH120
    import gc
    import importlib
    import runpy
    import tempfile

    import snakemake.cli  # noqa: F401

    from support.forked_packages import Packages

    sys.path.remove(tests)
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()
    packages = Packages() if sys.platform.startswith("linux") else None  # elsewhere, no job is forked
    module = serve()
    if packages:
        packages.use()
    tempfile.tempdir = None  # that of the environment
    runpy.run_module(module, run_name="__main__", alter_sys=True)
