"""Cleaning up after a killed run of Snakemake: its lock, and its jobs on the cluster, which go on.

A restarted Snakemake does not find those jobs and would submit the same work again. The next run on the same machine
therefore removes the lock and cancels them; finished artifacts are in the store, and training resumes at its last
checkpoint.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from nephroscale.store.gc import is_alive

NOTE = "nephroscale-run.json"
# Longest time until cancelled jobs have ended.
SECONDS = 120


def note_run(folder: Path = Path(".snakemake"), *, local: bool) -> None:
    """Write down the main process of this run, its start, and whether its jobs are its children."""
    pid = os.getpid()
    note = {
        "host": socket.gethostname(),
        "pid": pid,
        "started": _started(pid),
        "time": int(time.time()),
        "group": os.getpgrp() if local else None,
    }
    folder.mkdir(exist_ok=True)
    (folder / NOTE).write_text(json.dumps(note) + "\n")


def clear_dead_run(folder: Path = Path(".snakemake")) -> bool:
    """Clean up after a killed run; one that still runs, or ran on another machine, is left alone.

    Returns
    -------
    bool
        Whether there was such a run.
    """
    locks = list(folder.glob("locks/*"))
    try:
        note = json.loads((folder / NOTE).read_bytes())
    except (FileNotFoundError, ValueError):
        return False
    if not locks or note["host"] != socket.gethostname() or _started(note["pid"]) == note["started"]:
        return False
    if note["group"] and is_alive(os.killpg, note["group"]):  # a job that outlived a killed local run
        return False
    cancelled = _cancel_jobs(folder, note["time"])
    for lock in locks:
        lock.unlink(missing_ok=True)
    print(
        f"nephroscale: the last run was killed; its lock is removed and {cancelled} of its jobs are cancelled.",
        file=sys.stderr,
    )
    return True


def _cancel_jobs(folder: Path, since: float) -> int:
    """Cancel the Slurm jobs of a killed run, which bear the executor's run id, and wait until they have ended."""
    logs = (path for path in folder.glob("log/*.snakemake.log") if path.stat().st_mtime >= since)
    names = {name for path in logs for name in re.findall(r"SLURM run ID: (\S+)", path.read_text(errors="replace"))}
    if not names or shutil.which("squeue") is None:
        return 0
    listing = ["squeue", "--noheader", "--format=%i", f"--name={','.join(sorted(names))}"]
    jobs = _words(listing)
    if jobs:
        _words(["scancel", *jobs])
    deadline = time.monotonic() + SECONDS
    while jobs and _words(listing) and time.monotonic() < deadline:
        time.sleep(1)
    return len(jobs)


def _words(command: list[str]) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.split()  # noqa: S603


def _started(pid: int) -> str:
    """Start of a process in the kernel's ticks; empty if there is no such process or no /proc."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19]
    except (OSError, IndexError):
        return ""


def snakemake_is_locked(folder: Path = Path(".snakemake")) -> bool:
    """Whether another run of Snakemake works in this folder."""
    return any(folder.glob("locks/*"))
