"""What a command line of Snakemake asks for: where jobs run, which targets, and whether any job starts."""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from nephroscale.collect import reachable
from nephroscale.engine.stage import Stage
from nephroscale.errors import NephroscaleError

# Options with which Snakemake starts no job.
ONLY_SHOWN = (
    "archive",
    "cleanup_metadata",
    "containerize",
    "d3dag",
    "dag",
    "delete_all_output",
    "delete_temp_output",
    "detailed_summary",
    "dryrun",
    "filegraph",
    "lint",
    "list_input_changes",
    "list_params_changes",
    "list_code_changes",
    "list_untracked",
    "list_rules",
    "list_target_rules",
    "report",
    "rulegraph",
    "summary",
    "touch",
    "unlock",
)
SECONDS = 30


class Call(NamedTuple):
    """A call of Snakemake.

    Attributes
    ----------
    executor
        Name of the plugin that runs jobs; `local` for jobs on this machine.
    starts_jobs
        Whether it may start a job.
    targets
        Rules and files that are asked for; none for the default target.
    gpus
        The `gpu` of `--resources`, 0 without it; None for another program than Snakemake.
    """

    executor: str = "local"
    starts_jobs: bool = True
    targets: tuple[str, ...] = ()
    gpus: int | None = None

    @classmethod
    def read(cls, arguments: Sequence[str]) -> Call:
        """Read a command line with Snakemake's own parser, which reads the profiles too.

        Parameters
        ----------
        arguments
            The command line, the program first; for another program (Snakemake used as a library) jobs are taken to be
            local.

        Raises
        ------
        NephroscaleError
            When Snakemake cannot read it, such as a profile that does not exist.
        """
        if "snakemake" not in Path(arguments[0]).parts[-2:]:
            return cls()
        from snakemake.cli import parse_args

        with contextlib.redirect_stderr(io.StringIO()) as printed:  # names of profiles, or what is wrong
            try:
                _, settings = parse_args(list(arguments[1:]))
            except (SystemExit, Exception) as fault:
                reason = printed.getvalue().strip().rpartition("\n")[2] or str(fault)
                raise NephroscaleError(f"Snakemake cannot read its options: {reason}", where="--profile") from None
        shown = any(getattr(settings, name, None) not in (None, False) for name in ONLY_SHOWN)
        gpus = settings.resources["gpu"].value if "gpu" in (settings.resources or ()) else 0
        targets = tuple(map(str, settings.targets or ()))
        return cls(settings.executor or "local", not shown, targets, int(gpus))

    def stages(self, stages: Mapping[str, Stage]) -> Collection[str]:
        """Give the stages that it needs; all of them where a target is not the name of a stage."""
        if not self.targets or any(target not in stages for target in self.targets):
            return list(stages)
        return reachable(self.targets, lambda name: stages[name].after)


def check_executor(call: Call) -> list[NephroscaleError]:
    """Ask Slurm's controller for an answer, where jobs go to Slurm."""
    if call.executor != "slurm":
        return []
    scontrol = shutil.which("scontrol")
    if shutil.which("sbatch") is None:
        what = "Slurm is not installed here: there is no `sbatch`."
    elif scontrol is None or (answer := _ping(scontrol)) is None:
        return []
    else:
        what = f"Slurm's controller does not answer: {answer}"
    return [
        NephroscaleError(
            what,
            where="executor: slurm",
            fix="Run on a login node of the cluster, or without --profile: `snakemake --cores all all`.",
        )
    ]


def _ping(scontrol: str) -> str | None:
    """The first line of what `scontrol ping` prints, or None where a controller is up."""
    try:
        done = subprocess.run(  # noqa: S603
            [scontrol, "ping"], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"nothing within {SECONDS} seconds"
    return None if " is UP" in done.stdout else (done.stdout + done.stderr).strip().partition("\n")[0]
