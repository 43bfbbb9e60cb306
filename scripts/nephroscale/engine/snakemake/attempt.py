"""One attempt at a job: a small file beside its log keeps the state of the attempt until the job is done.

From these files `nephroscale status` lists the running and the interrupted jobs with the cluster's logs, and the last
attempt at a group finds out which job ended the earlier ones.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import NamedTuple

from nephroscale.engine.device import NodeError
from nephroscale.engine.snakemake.job_groups import ATTEMPT, GROUPED, RETRIES
from nephroscale.errors import NephroscaleError
from nephroscale.store.disk import write_whole
from nephroscale.store.records import now

SUFFIX = ".attempt"
# Folder of Slurm's own logs, with a folder for each rule or group.
CLUSTER_LOGS = Path(".snakemake/slurm_logs")


class AttemptState(NamedTuple):
    """State of a job that is not done.

    Parameters
    ----------
    host, pid
        Of the process.
    cluster_job
        Its number on the cluster; empty without one.
    since
        Start of the job, UTC.
    numbers
        The attempts in this run of Snakemake that reached this job, counted from 1.
    failed
        Whether the job ended with an error.
    """

    host: str
    pid: int
    cluster_job: str
    since: str
    numbers: list[int]
    failed: bool = False

    @classmethod
    def read(cls, path: Path) -> AttemptState | None:
        """Read the file of an attempt; None without one."""
        try:
            return cls(**json.loads(path.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return None


def cluster_logs() -> dict[str, Path]:
    """The cluster's own logs by job number; logs of successful jobs are deleted by the executor."""
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
        self._state: AttemptState | None = None

    @property
    def last(self) -> bool:
        """Whether Snakemake would not submit it again."""
        return self.number > self.retries

    def begin(self) -> None:
        """Write that the job is running.

        Raises
        ------
        NephroscaleError
            When every earlier attempt ended in the middle of this job and this is the last one: the job fails, so that
            the rest of its group can finish.
        """
        earlier = AttemptState.read(self._path) if self.number > 1 else None
        before = [] if earlier is None or earlier.failed else [n for n in earlier.numbers if n < self.number]
        self._write(
            AttemptState(
                socket.gethostname(), os.getpid(), os.environ.get("SLURM_JOB_ID", ""), now(), [*before, self.number]
            )
        )
        if self.grouped and self.last and self.retries and before == list(range(1, self.number)):
            raise NephroscaleError(
                f"Its group ended {len(before)} times while it ran: it exceeded its memory or time, or it crashed.",
                fix="Look at the cluster's log of the group; raise mem_mb or runtime of its rule in the profile.",
            )

    def fail(self) -> None:
        """Write that the job ended with an error."""
        if self._state:
            self._write(self._state._replace(failed=True))

    def succeed(self) -> None:
        """Delete the file: the receipt is written."""
        self._path.unlink(missing_ok=True)

    def leaves_note(self, fault: Exception) -> bool:
        """Whether a failure leaves a failure note: it would recur, or no attempt is left."""
        again = isinstance(fault, NephroscaleError) and not isinstance(fault, NodeError)
        return self.grouped and (self.last or again)

    def _write(self, state: AttemptState) -> None:
        self._state = state
        write_whole(self._path, f"{json.dumps(state._asdict())}\n".encode())
