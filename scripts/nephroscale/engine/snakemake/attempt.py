"""One attempt at a job, noted in a small file beside its log for as long as the job is not done.

From these notes `nephroscale status` tells what runs, what was ended in the middle and where the cluster's own log of
it lies; and the last attempt at a group knows which job has taken it down before.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any, NamedTuple

from nephroscale.engine.device import NodeError
from nephroscale.engine.snakemake.job_groups import ATTEMPT, GROUPED, RETRIES
from nephroscale.errors import NephroscaleError
from nephroscale.store.records import now

SUFFIX = ".attempt"
# Where the executor has Slurm write, a folder for each rule or group.
CLUSTER_LOGS = Path(".snakemake/slurm_logs")


class Note(NamedTuple):
    """What is known of a job that is not done.

    Parameters
    ----------
    host, pid
        Of the process.
    cluster_job
        Its number on the cluster, or ''.
    since
        When it started, in UTC.
    numbers
        The attempts that began with this job in this run of Snakemake, counted from 1.
    failed
        Whether it came to its end, in an error.
    """

    host: str
    pid: int
    cluster_job: str
    since: str
    numbers: list[int]
    failed: bool = False

    @classmethod
    def read(cls, path: Path) -> Note | None:
        """Read a note; None where there is none."""
        try:
            return cls(**json.loads(path.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return None


def cluster_logs() -> dict[str, Path]:
    """The cluster's own logs by the number of the job, as far as they are there: those of jobs that end well go."""
    return {path.stem: path for path in CLUSTER_LOGS.rglob("*.log")}


class Attempt:
    """One attempt at a job.

    Parameters
    ----------
    rule
        The job's rule.
    log
        Its log file.
    """

    def __init__(self, rule: str, log: Path) -> None:
        self.grouped = rule in os.environ.get(GROUPED, "").split(",")
        self.number = int(os.environ.get(ATTEMPT, "1"))
        self.retries = int(os.environ.get(RETRIES, "0"))
        self._path = log.with_suffix(SUFFIX)
        self._note: Note | None = None

    @property
    def last(self) -> bool:
        """Whether Snakemake would not submit it again."""
        return self.number > self.retries

    def begin(self) -> None:
        """Note that the job is running.

        Raises
        ------
        NephroscaleError
            When every attempt before ended in the middle of this very job, and this is the last one: the rest of
            its group is let through instead.
        """
        earlier = Note.read(self._path) if self.number > 1 else None
        before = [] if earlier is None or earlier.failed else [n for n in earlier.numbers if n < self.number]
        job = os.environ.get("SLURM_JOB_ID", "")
        self._write(Note(socket.gethostname(), os.getpid(), job, now(), [*before, self.number]))
        if self.grouped and self.last and self.retries and before == list(range(1, self.number)):
            raise NephroscaleError(
                f"Its group was ended {len(before)} times while it ran: too much memory or time, or a crash.",
                todo="Look at the cluster's log of the group; raise mem_mb or runtime of its rule in the profile.",
            )

    def fail(self) -> None:
        """Note that the job came to its end in an error."""
        if self._note:
            self._write(self._note._replace(failed=True))

    def succeed(self) -> None:
        """Forget the job: its receipt is there."""
        self._path.unlink(missing_ok=True)

    def settles_for_note(self, fault: Exception) -> bool:
        """Whether a failure is left as a note: it would come again, or there is no attempt left."""
        again = isinstance(fault, NephroscaleError) and not isinstance(fault, NodeError)
        return self.grouped and (self.last or again)

    def _write(self, note: Note) -> None:
        self._note = note
        values: dict[str, Any] = note._asdict()
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        try:
            temporary.write_text(json.dumps(values) + "\n")
            temporary.replace(self._path)
        finally:
            temporary.unlink(missing_ok=True)
