"""The process that local jobs are forked off: it has the packages, the project's modules and the plan of the run."""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import runpy
import signal
import sys
import tempfile
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from nephroscale.engine.dispatch import read_dispatch
from nephroscale.engine.environment import package_versions
from nephroscale.engine.job import git_commit
from nephroscale.engine.plan import Plan
from nephroscale.engine.snakemake import script
from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

    from nephroscale.engine.stage import Stage
    from nephroscale.json_text import JSON


Signatures: TypeAlias = "dict[Path, tuple[int, ...]]"


class Used(NamedTuple):
    """What a job and the processes that it waited for have used.

    Attributes
    ----------
    cpu_seconds
        Processor time.
    memory_mb
        The largest resident memory of one process, pages that it shares with the job server included.
    read_mb, written_mb
        From and to disks.
    """

    cpu_seconds: float
    memory_mb: float
    read_mb: float
    written_mb: float


class Given(NamedTuple):
    """What the job server reads before the first job.

    Attributes
    ----------
    config
        The configuration, as Snakemake read it.
    stages
        Makes the table of all stages.
    closures
        The scripts of the planned jobs, each with the modules that a registry chose (:meth:`Code.closure`).
    """

    config: Mapping[str, JSON]
    stages: Callable[[], Mapping[str, Stage]]
    closures: Sequence[tuple[str, tuple[str, ...]]]


def serve(connection: Connection, given: Given) -> None:
    """Fork jobs until the other end of the connection is closed.

    A request is a job's script and environment, answered by the process's number, or by None where a file that was read
    here is no longer the same: then this process has to be replaced. A number is answered by the ended job's exit
    status and what it used (None where it was killed).

    Parameters
    ----------
    connection
        To Snakemake's main process.
    given
        What is read first.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a job has the usual handler
    context = multiprocessing.get_context("fork")
    signed = _prepare(given)
    gc.freeze()  # no collection of a job visits, and so copies, what is here
    jobs: dict[int | None, tuple[Any, Connection]] = {}
    while True:
        try:
            request = connection.recv()
        except EOFError:
            return
        if isinstance(request, int):
            process, reader = jobs.pop(request)
            process.join()
            used = None
            with reader, suppress(EOFError):  # it was killed
                used = reader.recv() if reader.poll() else None
            connection.send((process.exitcode, used))
        elif any(_sign(path) != signature for path, signature in signed.items()):
            connection.send(None)
        else:
            reader, writer = context.Pipe(duplex=False)
            process = context.Process(target=_run, args=(*request, writer))
            process.start()
            writer.close()
            jobs[process.pid] = process, reader
            connection.send(process.pid)


def _prepare(given: Given) -> Signatures:
    """Read the plan, its code and its tables, and import the project's modules; sign the files that were read."""
    signed: Signatures = {}
    with suppress(NephroscaleError):  # of tables that were just edited; the job gives the reason
        for _ in range(2):  # the second time, no file is older than its signature
            plan = Plan(given.config, given.stages())
            closures = [plan.code.closure(*closure) for closure in given.closures]
            code = {name for closure in closures for name in closure.code}
            read = [*plan.code.files(), *plan.tables()]
            signed = {path: signed.get(path) or _sign(path) for path in read}
        for name in sorted(code):
            if "/" in name and name.endswith(".py"):
                with suppress(Exception):  # the same
                    import_module(name.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
        # What else each job asks for; the answers are kept.
        for closure in closures:
            package_versions(closure.imports)
        read_dispatch(sys.modules)
        git_commit(plan.scripts)
        script.prepared = given.config, plan
    return signed


def _sign(path: Path) -> tuple[int, ...]:
    """Inode, size and time of a file; nothing for one that is gone."""
    try:
        now = path.stat()
    except FileNotFoundError:
        return ()
    return now.st_ino, now.st_size, now.st_mtime_ns


def _run(path: str, environment: Mapping[str, str], writer: Connection) -> None:
    """In the job's process: run a script as `python path` does."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    sys.argv = [path]
    try:
        runpy.run_path(path, run_name="__main__")
    finally:
        writer.send(_used())


def _used() -> Used:
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return Used(
        sum(each.ru_utime + each.ru_stime for each in both),  # a forked process begins at zero
        max(each.ru_maxrss for each in both) / 1024,
        sum(each.ru_inblock for each in both) / 2048,  # blocks of 512 bytes
        sum(each.ru_oublock for each in both) / 2048,
    )
