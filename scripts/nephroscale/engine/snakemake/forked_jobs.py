"""Local jobs forked off one process that has all imported: starting Python and importing torch would cost each seconds.

A fork server of `multiprocessing` imports third-party packages alone. Off it the job server (job_server.py) is forked,
which imports the project's modules and reads the tables; jobs are its forks. After an edit of code or tables it is
replaced, so that a job runs the code that its recipe names.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from multiprocessing.context import ForkServerContext
from pathlib import Path
from queue import SimpleQueue
from subprocess import CalledProcessError
from typing import Any

from nephroscale.engine.plan import Plan
from nephroscale.engine.snakemake.job_server import OUTDATED, STARTED, Ended, Given, Used, serve
from nephroscale.engine.stage import Stage
from nephroscale.json_text import JSON

#: What every job imports.
ALWAYS = ("snakemake.io", "snakemake.iocontainers", "snakemake.logging", "yaml", "jsonschema")


class ForkedJobs:
    """Runs the Python scripts of jobs in processes that are forked off one which has what they need.

    Parameters
    ----------
    modules
        Third-party modules that the jobs will import. A name that cannot be imported is passed over.
    given
        What the job server reads.
    otherwise
        Runs a script as Snakemake does: in a container, or where packages were installed since.
    """

    def __init__(
        self,
        modules: Iterable[str],
        given: Given,
        otherwise: Callable[..., None],
    ) -> None:
        self._given = given
        self._otherwise = otherwise
        self._installed = _time_of_packages()
        self._lock = threading.Lock()  # Snakemake has a thread for each running job
        self._server: _Server | None = None
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([*ALWAYS, *modules])
        atexit.register(self.close)

    def close(self) -> None:
        """Let the job server end when its jobs have ended."""
        if self._server:
            self._server.close()
            self._server = None

    def execute(self, script: Any, path: str, edit: bool = False) -> None:
        """Run a job's script, as Snakemake's `PythonScript.execute_script`.

        Raises
        ------
        CalledProcessError
            When it ends with another status than 0.
        """
        elsewhere = script.container_img or script.conda_env or script.env_modules or script.shadow_dir
        if elsewhere or _time_of_packages() != self._installed:
            self._otherwise(script, path, edit)
            return
        environment = {**os.environ}
        if folder := script.resources.get("tmpdir"):
            environment |= dict.fromkeys(("TMPDIR", "TMP", "TEMPDIR", "TEMP"), str(folder))
        begun = time.time()
        answers = self._start(path, environment)
        if answers is None:
            self._otherwise(script, path, edit)
            return
        ended = answers.get() or Ended(1, None)
        _fill(script.bench_record, time.time() - begun, ended.used)
        if ended.status:
            raise CalledProcessError(ended.status, f"{sys.executable} {path}")

    def _start(self, path: str, environment: Mapping[str, str]) -> SimpleQueue[Any] | None:
        """Start a job; give the queue that its end will come from, or None where no server could start it."""
        while True:
            with self._lock:
                server = self._server
                if server is None:
                    try:
                        server = self._server = _Server(self._context, self._given)
                    except (EOFError, OSError):
                        return None
            answers = server.ask(path, environment)
            answer = answers.get()
            if answer == STARTED:
                return answers
            with self._lock:
                if self._server is server:
                    self._server = None
                    server.close()
            if answer != OUTDATED:  # it could not import what it should, or was killed
                return None


class _Server:
    """A job server as Snakemake's process sees it.

    Parameters
    ----------
    context
        Of the fork server.
    given
        What the job server reads.
    """

    def __init__(self, context: ForkServerContext, given: Given) -> None:
        self._connection, other = multiprocessing.Pipe()
        with _main_hidden():
            context.Process(target=serve, args=(other, given)).start()
        other.close()
        self._lock = threading.Lock()
        self._numbers = count()
        self._answers: dict[int, SimpleQueue[Any]] | None = {}
        threading.Thread(target=self._listen, daemon=True).start()

    def ask(self, path: str, environment: Mapping[str, str]) -> SimpleQueue[Any]:
        """Ask for a job; give the queue of the answers, which ends with None where the server has ended."""
        answers: SimpleQueue[Any] = SimpleQueue()
        with self._lock:
            if self._answers is None:
                answers.put(None)
                return answers
            number = next(self._numbers)
            self._answers[number] = answers
            with suppress(OSError):  # else the listener is about to find that it has ended
                self._connection.send((number, path, environment))
        return answers

    def close(self) -> None:
        """Ask for no more: it ends when its jobs have ended."""
        with self._lock, suppress(OSError):
            self._connection.send(None)

    def _listen(self) -> None:
        with suppress(EOFError, OSError):
            while True:
                number, answer = self._connection.recv()
                with self._lock:
                    assert self._answers is not None
                    self._answers[number].put(answer)
                    if answer != STARTED:
                        del self._answers[number]
        with self._lock:
            open_ones, self._answers = self._answers or {}, None
        self._connection.close()
        for answers in open_ones.values():
            answers.put(None)


def fork_jobs(
    plan: Plan, planned: Iterable[Any], config: Mapping[str, JSON], stages: Callable[[], Mapping[str, Stage]]
) -> None:
    """Let Snakemake's main process fork the planned jobs (Snakemake's objects), instead of starting each anew."""
    from snakemake.script import PythonScript

    if not sys.platform.startswith("linux"):
        return
    by_rule = {stage.rule: stage for stage in plan.stages.values()}
    closures: set[tuple[str, tuple[str, ...]]] = set()
    for job in planned:
        if stage := by_rule.get(job.rule.name):
            closures.add((f"{stage.rule}.py", stage.modules(plan, stage.pattern.format(**dict(job.wildcards.items())))))
    modules = {name for closure in closures for name in plan.code.closure(*closure).modules}
    plan.keep_parsed_code()  # the jobs' code is parsed now
    jobs = ForkedJobs(sorted(modules), Given(config, stages, sorted(closures)), PythonScript.execute_script)
    PythonScript.execute_script = lambda script, path, edit=False: jobs.execute(script, path, edit)


def fork_group(
    workflow: Any,
    plan: Plan,
    arguments: Sequence[str],
    config: Mapping[str, JSON],
    stages: Callable[[], Mapping[str, Stage]],
) -> None:
    """Let the process of Snakemake that has a group of jobs on a node run these itself, forked.

    Slurm's executor would start Snakemake for each of them. That process runs no hooks, and knows its jobs only when it
    starts the first.

    Parameters
    ----------
    workflow
        Snakemake's object, of which `localrules` and `dag` are used (Snakemake 9).
    plan, config, stages
        As for :func:`fork_jobs`.
    arguments
        Of this process. In those of a group is its number.
    """
    if "--local-groupid" not in arguments:
        return
    from snakemake.script import PythonScript

    workflow.localrules(*(stage.rule for stage in plan.stages.values()))
    start_anew, lock = PythonScript.execute_script, threading.Lock()

    def execute(script: Any, path: str, edit: bool = False) -> None:
        with lock:
            if PythonScript.execute_script is execute:
                PythonScript.execute_script = start_anew
                fork_jobs(plan, workflow.dag.needrun_jobs(), config, stages)
        PythonScript.execute_script(script, path, edit)

    PythonScript.execute_script = execute


def _fill(record: Any, seconds: float, used: Used | None) -> None:
    """Fill a record for Snakemake's file of times and memory, which else looks at a job twice a second."""
    if record is None:
        return
    record.running_time = seconds
    record.process_gone = used is None
    if used:
        record.data_collected = True
        record.cpu_time, record.cpu_usage = used.cpu_seconds, 100 * used.cpu_seconds
        record.max_rss, record.io_in, record.io_out = used.memory_mb, used.read_mb, used.written_mb


@contextmanager
def _main_hidden() -> Iterator[None]:
    """Keep the new process from importing the main script again, which may start Snakemake when imported."""
    main = sys.modules["__main__"]
    spec, file = main.__spec__, main.__dict__.pop("__file__", None)
    main.__spec__ = None
    try:
        yield
    finally:
        main.__spec__ = spec
        if file is not None:
            main.__file__ = file


def _time_of_packages() -> int:
    """When a package was last installed or removed."""
    return Path(sysconfig.get_path("purelib")).stat().st_mtime_ns
