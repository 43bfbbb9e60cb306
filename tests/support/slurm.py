"""A Slurm of three nodes on one machine, for tests and demonstrations: its own munge, controller and node daemons.

    python tests/support/slurm.py run COMMAND ...    run a command with this Slurm at hand, and take it down again

Nodes n1 and n2 make up the partition cpu, n3 with two faked GPUs the partition gpu; `spare` is n1 and n2 with a higher
priority, whose jobs preempt those of cpu. Nothing is written outside the given folder, and everything started here
ends with :meth:`Cluster.stop`, or when the process that started it is gone: a supervisor holds all daemons and jobs as
its own descendants and ends them when its standard input closes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import re
import resource
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

NODES = ("n1", "n2", "n3")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
CORES, MEMORY_MB = 4, 100_000
MARK = "NEPHROSCALE_TEST_SLURM"
_MEMORY = re.compile(r"mem=(\d+)M")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

CONFIGURATION = """\
ClusterName=nephroscale
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={top}/munge/socket
StateSaveLocation={top}/state
SlurmdSpoolDir={top}/spool/%n
SlurmctldPidFile={top}/slurmctld.pid
SlurmdPidFile={top}/slurmd.%n.pid
SlurmctldLogFile={top}/log/slurmctld.log
SlurmdLogFile={top}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
MinJobAge=600
KillWait=2
OverTimeLimit=0
SlurmdTimeout=15
ReturnToService=2
GresTypes=gpu
JobCompType=jobcomp/filetxt
JobCompLoc={top}/jobs.txt
{nodes}
NodeName=n3 NodeAddr=127.0.0.1 Port={n3} CPUs={cores} RealMemory={memory} Gres=gpu:2
PartitionName=DEFAULT DefMemPerCPU=200 MaxTime=1-0
PartitionName=cpu Nodes=n1,n2 Default=YES PriorityTier=1
PartitionName=spare Nodes=n1,n2 PriorityTier=10 PreemptMode=OFF
PartitionName=gpu Nodes=n3 PriorityTier=1
"""


def missing_programs() -> list[str]:
    """The programs of Slurm and munge that are not installed here."""
    return [name for name in PROGRAMS if shutil.which(name, path=SYSTEM_PATH) is None]


@dataclass(frozen=True)
class FinishedJob:
    """A line of the job completion file: one for each end of each job."""

    id: int
    name: str
    state: str
    partition: str
    node: str
    seconds: float
    limit_minutes: int
    memory_mb: int


class Cluster:
    """A running Slurm.

    Parameters
    ----------
    top
        An empty folder for its configuration, state and logs. Its path has to be short, because it contains sockets.
    """

    def __init__(self, top: Path) -> None:
        self.top = Path(top)
        self.mark = secrets.token_hex(8)
        self._supervisor: subprocess.Popen[str] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which Slurm's commands, and Snakemake, find this Slurm and no other."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH", "SRUN"))}
        path = f"{self.top / 'bin'}:{kept.get('PATH', '')}:{SYSTEM_PATH}"
        return {**kept, "PATH": path, "SLURM_CONF": str(self.top / "slurm.conf"), MARK: self.mark}

    # -- up and down ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Bring it up; all nodes are idle afterwards.

        Raises
        ------
        RuntimeError
            When it does not come up, with the end of its logs.
        """
        self._write_files()
        self._supervisor = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), "supervise", str(self.top)],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # an interrupt at the terminal is for the test, which then closes the pipe
        )
        assert self._supervisor.stdout is not None
        if self._supervisor.stdout.readline().strip() != "up":
            self.stop()
            raise RuntimeError(f"munge did not start:\n{self._logs()}")
        self.wait_until(lambda: self.node_states() == dict.fromkeys(NODES, "idle"), 30, "the nodes are idle")

    def stop(self) -> None:
        """Take it down, jobs and all."""
        if self._supervisor is None:
            return
        assert self._supervisor.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._supervisor.stdin.close()
        self._supervisor.wait(timeout=60)
        self._supervisor = None

    def _write_files(self) -> None:
        for name in ("munge", "state", "spool", "log", "bin"):
            (self.top / name).mkdir(parents=True)
        for name in NODES:
            (self.top / "spool" / name).mkdir()
        (self.top / "munge").chmod(0o755)
        key = self.top / "munge/key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        ports = _free_ports(1 + len(NODES))
        numbers = dict(zip(("controller", *NODES), ports, strict=True))
        nodes = "\n".join(
            f"NodeName={name} NodeAddr=127.0.0.1 Port={numbers[name]} CPUs={CORES} RealMemory={MEMORY_MB}"
            for name in NODES[:2]
        )
        text = CONFIGURATION.format(
            top=self.top,
            host=socket.gethostname().partition(".")[0],
            user=pwd.getpwuid(os.getuid()).pw_name,
            nodes=nodes,
            cores=CORES,
            memory=MEMORY_MB,
            **numbers,
        )
        (self.top / "slurm.conf").write_text(text)
        (self.top / "gres.conf").write_text("NodeName=n3 Name=gpu File=/dev/null,/dev/zero\n")
        # The job-step executor strips every SLURM_ variable before its inner srun: this one finds the way back.
        real = shutil.which("srun", path=SYSTEM_PATH)
        srun = self.top / "bin/srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF="{self.top}/slurm.conf" exec {real} "$@"\n')
        srun.chmod(0o755)

    def _logs(self) -> str:
        return "\n".join(
            f"== {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-15:])
            for path in sorted((self.top / "log").glob("*.log"))
        )

    # -- asking it ------------------------------------------------------------------------------------------------

    def command(self, *words: str) -> str:
        """Run one of Slurm's commands; return its output."""
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=30, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def node_states(self) -> dict[str, str]:
        """Each node's state in lower case, such as idle, mixed, allocated or down."""
        try:
            text = self.command("sinfo", "--noheader", "-N", "-o", "%N %T")
        except RuntimeError:
            return {}
        return dict(line.split() for line in text.splitlines())

    def jobs(self, states: str = "PENDING,RUNNING,COMPLETING") -> list[dict[str, str]]:
        """Jobs in the queue; in the comment Snakemake names the rule and its wildcards."""
        text = self.command("squeue", "--noheader", f"--states={states}", "-o", "%i|%T|%N|%P|%k|%m|%b|%l")
        names = ("id", "state", "node", "partition", "comment", "memory", "gres", "limit")
        return [dict(zip(names, line.split("|"), strict=True)) for line in text.splitlines()]

    def running(self, comment: str) -> dict[str, str] | None:
        """The first running job whose comment begins so."""
        return next((job for job in self.jobs("RUNNING") if job["comment"].startswith(comment)), None)

    def finished(self) -> list[FinishedJob]:
        """Every end of a job so far, from the job completion file."""
        path = self.top / "jobs.txt"
        found = []
        for line in path.read_text().splitlines() if path.exists() else []:
            values = dict(part.split("=", 1) for part in line.split(" ") if "=" in part)
            times = [time.mktime(time.strptime(values[k], "%Y-%m-%dT%H:%M:%S")) for k in ("StartTime", "EndTime")]
            found.append(
                FinishedJob(
                    int(values["JobId"]),
                    values["Name"],
                    values["JobState"],
                    values["Partition"],
                    values["NodeList"],
                    times[1] - times[0],
                    int(values["TimeLimit"]) if values["TimeLimit"].isdigit() else 0,
                    int(_MEMORY.search(line)[1]) if _MEMORY.search(line) else 0,
                )
            )
        return found

    def last_job_id(self) -> int:
        """The number of jobs submitted so far: Slurm counts from 1."""
        return int(re.search(r"NEXT_JOB_ID\s*=\s*(\d+)", self.command("scontrol", "show", "config"))[1]) - 1  # type: ignore[index]

    def wait_until(self, holds, seconds: float, what: str):
        """Wait until a function returns a true value, and return it; fail after some seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := holds():
                return found
            time.sleep(0.2)
        raise RuntimeError(f"waited {seconds:.0f} s in vain until {what}: nodes {self.node_states()}\n{self._logs()}")

    # -- mischief -------------------------------------------------------------------------------------------------

    def lose_node(self, name: str) -> None:
        """Let a node vanish with everything on it, as by a power cut, and be taken for down."""
        os.kill(int((self.top / f"slurmd.{name}.pid").read_text()), signal.SIGKILL)
        for pid in self._processes_on(name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.command("scontrol", "update", f"NodeName={name}", "State=DOWN", "Reason=lost")

    def start_now(self, job: str) -> None:
        """Start a job that Slurm has queued again: by itself it would let it wait for two minutes."""
        queued = lambda: job in {each["id"] for each in self.jobs("PENDING")}  # noqa: E731
        self.wait_until(queued, 60, f"job {job} is queued again")
        self.command("scontrol", "update", f"JobId={job}", "StartTime=now")

    def restore_node(self, name: str) -> None:
        """Bring a lost node back."""
        assert self._supervisor is not None
        assert self._supervisor.stdin is not None
        self._supervisor.stdin.write(f"{name}\n")
        self._supervisor.stdin.flush()
        self.wait_until((self.top / f"slurmd.{name}.pid").exists, 20, f"{name} is started")
        with contextlib.suppress(RuntimeError):  # it may have come back by itself
            self.command("scontrol", "update", f"NodeName={name}", "State=RESUME")
        self.wait_until(lambda: self.node_states().get(name) == "idle", 30, f"{name} is back")

    def cpu_seconds(self) -> float:
        """CPU seconds of the jobs that have ended so far, and of the daemons' children."""
        assert self._supervisor is not None
        assert self._supervisor.stdin is not None
        assert self._supervisor.stdout is not None
        self._supervisor.stdin.write("cpu\n")
        self._supervisor.stdin.flush()
        return float(self._supervisor.stdout.readline())

    def _processes_on(self, name: str) -> list[int]:
        """Processes of this Slurm's jobs on a node: their step daemons first."""
        needles = {f"{MARK}={self.mark}".encode(), f"SLURMD_NODENAME={name}".encode()}
        tasks = [pid for pid in _pids() if needles <= set(_read(pid, "environ").split(b"\0"))]
        parents = {_parent(pid) for pid in tasks}
        return [*(pid for pid in parents if _read(pid, "comm").startswith(b"slurmstepd")), *tasks]


# -- the supervisor -----------------------------------------------------------------------------------------------


def supervise(top: Path) -> None:
    """Start the daemons and say `up`; end all when standard input closes.

    A line that names a node starts it again; `cpu` is answered by the CPU seconds of all that has ended so far.
    """
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: whoever loses its parent becomes our child
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:{SYSTEM_PATH}"}
    munge = [
        "munged",
        *("--force", f"--socket={top}/munge/socket", f"--key-file={top}/munge/key", f"--pid-file={top}/munge/pid"),
        *(f"--log-file={top}/log/munged.log", f"--seed-file={top}/munge/seed"),
    ]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    try:
        up = subprocess.run(munge, env=environment, check=False, **quiet).returncode == 0  # type: ignore[call-overload]
        conf = ["-f", f"{top}/slurm.conf"]
        if up:
            subprocess.run(["slurmctld", *conf], env=environment, check=False, **quiet)  # type: ignore[call-overload]
            for name in NODES:
                subprocess.run(["slurmd", "-N", name, *conf], env=environment, check=False, **quiet)  # type: ignore[call-overload]
        print("up" if up else "down", flush=True)
        while True:
            if not select.select([0], [], [], 0.5)[0]:
                _reap()
            elif text := os.read(0, 1000).decode():
                if text == "cpu\n":
                    _reap()
                    used = resource.getrusage(resource.RUSAGE_CHILDREN)
                    print(used.ru_utime + used.ru_stime, flush=True)
                    continue
                for name in text.split():
                    subprocess.run(["slurmd", "-N", name, *conf], env=environment, check=False, **quiet)  # type: ignore[call-overload]
            else:
                break
    finally:
        _end_descendants()
        shutil.rmtree(top, ignore_errors=True)


def _reap() -> None:
    """Take leave of children that have ended: Slurm waits for a job's processes to be gone."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _end_descendants() -> None:
    """End every descendant, those that come while others go too."""
    for attempt in range(100):
        _reap()
        parents = {pid: _parent(pid) for pid in _pids()}
        family = {os.getpid()}
        while grown := {pid for pid, parent in parents.items() if parent in family} - family:
            family |= grown
        family.remove(os.getpid())
        if not family:
            return
        for pid in family:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGTERM if attempt == 0 else signal.SIGKILL)
        time.sleep(0.5 if attempt == 0 else 0.1)


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _parent(pid: int) -> int:
    fields = _read(pid, "stat").rpartition(b") ")[2].split()
    return int(fields[1]) if fields else 0


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def main() -> int:
    if sys.argv[1:2] == ["supervise"]:
        supervise(Path(sys.argv[2]))
        return 0
    if sys.argv[1:2] != ["run"] or len(sys.argv) < 3:
        print(__doc__)
        return 2
    if missing := missing_programs():
        print(f"not installed: {', '.join(missing)} (Debian, Ubuntu: apt-get install slurm-wlm munge)", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        cluster = Cluster(Path(folder) / "s")
        cluster.start()
        try:
            code = subprocess.run(sys.argv[2:], env=cluster.environment, check=False).returncode
            ended = cluster.finished()
            print(f"Slurm ran {len(ended)} jobs on {', '.join(sorted({job.node for job in ended}))}", file=sys.stderr)
            return code
        finally:
            cluster.stop()


if __name__ == "__main__":
    sys.exit(main())
