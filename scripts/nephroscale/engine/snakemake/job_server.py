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
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import NamedTuple, TypeAlias, cast

from nephroscale.engine.dispatch import read_dispatch
from nephroscale.engine.environment import package_versions
from nephroscale.engine.make_units import git_commit
from nephroscale.engine.plan import Plan
from nephroscale.engine.snakemake import script
from nephroscale.engine.stage import Stage
from nephroscale.errors import NephroscaleError
from nephroscale.json_text import JSON
from nephroscale.store.disk import file_state

Signatures: TypeAlias = "dict[Path, list[int] | None]"
CLEAR_REFS = Path("/proc/self/clear_refs")


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


STARTED, OUTDATED = "started", "outdated"


class Ended(NamedTuple):
    """How a job ended.

    Attributes
    ----------
    status
        Exit status; negative for the signal that ended it.
    used
        None where it was killed.
    """

    status: int
    used: Used | None


class Worker(NamedTuple):
    """A forked process that runs a script once, or again and again (`stays`)."""

    script: str
    stays: bool
    process: ForkProcess
    connection: Connection

    def end(self) -> int:
        """Wait until it has ended, which an idle one does at once, and give its status."""
        self.connection.close()
        self.process.join()
        return self.process.exitcode or 0


def serve(connection: Connection, given: Given) -> None:
    """Run jobs in forks of this process until the other end asks for no more.

    A request is a number, a job's script and its environment; the last one is None. It is answered by its number with
    `STARTED` and later `Ended`, or with `OUTDATED` where a file that was read here is no longer the same: then this
    process has to be replaced. The script of a stage that `keeps_process` is run by a process that has run it before,
    if one is idle: it has a card open and weights in memory. An idle one ends before another stage may want the card.

    Parameters
    ----------
    connection
        To Snakemake's main process.
    given
        What is read first.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a job has the usual handler
    signed = _prepare(given)
    stages = {f"{stage.rule}.py": stage for stage in given.stages().values()}
    gc.freeze()  # no collection of a job visits, and so copies, what is here
    asked: list[Connection] = [connection]
    busy: dict[Connection, tuple[int, Worker]] = {}
    idle: list[Worker] = []

    def answer(number: int, content: str | Ended) -> None:
        with suppress(OSError):  # nobody waits any more
            connection.send((number, content))

    def start(number: int, path: str, environment: Mapping[str, str]) -> None:
        script = ".".join(path.split(".")[-2:]).rpartition("/")[2]  # Snakemake runs a copy, tmp1234.tile_slide.py
        stage = stages.get(script)
        worker = next((each for each in idle if each.script == script), None)
        if worker:
            idle.remove(worker)
        elif stage and stage.torch:
            while idle:
                idle.pop().end()
        if worker is None or not worker.process.is_alive():
            worker = _fork(
                script, bool(stage and stage.keeps_process), [connection, *busy, *(each.connection for each in idle)]
            )
        with suppress(OSError):  # it was just killed, which is read from its end of the connection
            worker.connection.send((path, environment))
        busy[worker.connection] = number, worker
        answer(number, STARTED)

    def finish(number: int, worker: Worker) -> None:
        try:
            ended = Ended(*worker.connection.recv())
        except (EOFError, OSError):
            ended = Ended(worker.end(), None)
        else:
            if worker.stays and not ended.status:
                idle.append(worker)
            else:  # after a failure, the card may be unusable in that process
                ended = ended._replace(status=worker.end() or ended.status)
        answer(number, ended)

    while asked or busy:
        for each in wait([*asked, *busy]):
            if each is not connection:
                finish(*busy.pop(cast("Connection", each)))
                continue
            try:
                request = connection.recv()
            except (EOFError, OSError):
                request = None
            if request is None:
                asked.clear()
            elif any(file_state(path) != signature for path, signature in signed.items()):
                answer(request[0], OUTDATED)
            else:
                start(*request)
    for worker in idle:
        worker.end()


def _prepare(given: Given) -> Signatures:
    """Read the plan, its code and its tables, and import the project's modules; sign the files that were read."""
    signed: Signatures = {}
    with suppress(NephroscaleError):  # of tables that were just edited; the job gives the reason
        for _ in range(2):  # the second time, no file is older than its signature
            plan = Plan(given.config, given.stages())
            closures = [plan.code.closure(*closure) for closure in given.closures]
            code = {name for closure in closures for name in closure.code}
            signed = {path: signed.get(path) or file_state(path) for path in [*plan.code.files(), *plan.tables()]}
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


def _fork(script: str, stays: bool, others: Iterable[Connection]) -> Worker:
    """Fork a process that waits for requests; it closes the connections of others that it inherits."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, stays, [ours, *others]))
    process.start()
    theirs.close()
    return Worker(script, stays, process, ours)


def _work(connection: Connection, stays: bool, inherited: Iterable[Connection]) -> None:
    """In a forked process: run one job, or one after the other until the connection is closed."""
    for other in inherited:
        other.close()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with suppress(EOFError, KeyboardInterrupt):  # Ctrl-C reaches a process that waits, too
        while True:
            request = connection.recv()
            before = _used().cpu_seconds
            with suppress(OSError):
                CLEAR_REFS.write_text("5")  # the highest memory is that of this job
            status = _run(*request)
            used = _used()
            connection.send((status, used._replace(cpu_seconds=used.cpu_seconds - before)))
            if not stays:
                sys.exit(status)


def _run(path: str, environment: Mapping[str, str]) -> int:
    """Run a script as `python path` does, and give its exit status."""
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    sys.argv, found = [path], list(sys.path)
    try:
        runpy.run_path(path, run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, int | None):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # the summary names the job
        return 128 + signal.SIGINT
    except BaseException:  # ends the job alone
        traceback.print_exc()
        return 1
    finally:
        sys.path[:] = found
        sys.stdout.flush()
    return 0


def _used() -> Used:
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return Used(
        sum(each.ru_utime + each.ru_stime for each in both),  # a forked process begins at zero
        max(each.ru_maxrss for each in both) / 1024,
        sum(each.ru_inblock for each in both) / 2048,  # blocks of 512 bytes
        sum(each.ru_oublock for each in both) / 2048,
    )
