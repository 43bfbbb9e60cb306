"""Local jobs forked off one process that has their packages imported: importing torch anew would cost each seconds.

The process imports third-party packages alone. A job imports the project's modules itself, after the fork: it runs the
code that its recipe names, even if that is edited during the run.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import runpy
import sys
import sysconfig
import tempfile
import threading
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path
from subprocess import CalledProcessError
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from nephroscale.engine.plan import Plan

#: What every job imports.
ALWAYS = ("snakemake.cli", "snakemake.iocontainers", "snakemake.logging", "yaml", "jsonschema")


class ForkedJobs:
    """Runs the Python scripts of jobs in processes that a fork server makes.

    Parameters
    ----------
    modules
        Third-party modules that the jobs will import. A name that cannot be imported is passed over.
    otherwise
        Runs a script as Snakemake does: in a container, or where packages were installed since.
    """

    def __init__(self, modules: Iterable[str], otherwise: Callable[..., None]) -> None:
        self._otherwise = otherwise
        self._installed = _time_of_packages()
        # The state of multiprocessing's processes is not safe between threads, of which Snakemake has one for each job.
        self._lock = threading.Lock()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([*ALWAYS, *modules])

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
        from snakemake.benchmark import benchmarked

        environment = {**os.environ}
        if folder := script.resources.get("tmpdir"):
            environment |= dict.fromkeys(("TMPDIR", "TMP", "TEMPDIR", "TEMP"), str(folder))
        process = self._context.Process(target=_run, args=(path, environment))
        try:
            with self._lock, _main_hidden():
                process.start()
        except (EOFError, OSError):  # the server could not import what it should, or was killed
            self._otherwise(script, path, edit)
            return
        with benchmarked(process.pid, script.bench_record):
            wait([process.sentinel])
        with self._lock:
            status = process.exitcode
        if status:
            raise CalledProcessError(status, f"{sys.executable} {path}")


def fork_jobs(plan: Plan, planned: Iterable[Any]) -> None:
    """Let Snakemake's main process fork the planned jobs (Snakemake's objects), instead of starting each anew."""
    from snakemake.script import PythonScript

    stages = {stage.rule: stage for stage in plan.stages.values()}
    modules: set[str] = set()
    for job in planned:
        if stage := stages.get(job.rule.name):
            modules |= set(plan.closure(stage, stage.pattern.format(**dict(job.wildcards.items()))).modules)
    plan.keep_parsed_code()  # the jobs' code is parsed now
    jobs = ForkedJobs(sorted(modules), PythonScript.execute_script)
    PythonScript.execute_script = lambda script, path, edit=False: jobs.execute(script, path, edit)


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


def _run(path: str, environment: Mapping[str, str]) -> None:
    """In the new process: run a script as `python path` does."""
    gc.freeze()  # no collection visits, and so copies, what the packages brought along
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    sys.argv = [path]
    runpy.run_path(path, run_name="__main__")


def _time_of_packages() -> int:
    """When a package was last installed or removed."""
    return Path(sysconfig.get_path("purelib")).stat().st_mtime_ns
