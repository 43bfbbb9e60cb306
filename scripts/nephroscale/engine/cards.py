"""One graphics card for each job of a machine with several, where no scheduler assigns them."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path
from typing import IO

from nephroscale.errors import NephroscaleError

_held: dict[str, IO[str]] = {}
"""The card of this process and its lock, which is free again when the process ends, however it ends."""


def take_card(jobs_per_gpu: int = 1) -> str | None:
    """Show this process one card alone (`CUDA_VISIBLE_DEVICES`) that has room for another job.

    It has to be called before CUDA starts. Under a scheduler, and with a single card, nothing is done.

    Parameters
    ----------
    jobs_per_gpu
        How many jobs may share a card.

    Returns
    -------
    str or None
        The card, as `CUDA_VISIBLE_DEVICES` names it.

    Raises
    ------
    NephroscaleError
        When jobs of this user occupy all cards.
    """
    if _held:  # by an earlier job of this process
        os.environ["CUDA_VISIBLE_DEVICES"] = next(iter(_held))
        return next(iter(_held))
    cards = visible_cards()
    if len(cards) < 2 or "SLURM_JOB_ID" in os.environ:
        return None
    folder = Path(tempfile.gettempdir()) / f"nephroscale-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for place in range(jobs_per_gpu):  # empty cards first
        for card in cards:
            lock = (folder / f"{card.replace('/', '-')}.{place}").open("w", encoding="utf-8")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                continue
            _held[card] = lock
            os.environ["CUDA_VISIBLE_DEVICES"] = card
            return card
    raise NephroscaleError(
        f"All {len(cards)} GPUs are in use by other jobs.",
        where=f"compute: jobs_per_gpu: {jobs_per_gpu}",
        fix=f"Start Snakemake with --resources gpu={len(cards) * jobs_per_gpu}, or raise compute.jobs_per_gpu.",
    )


def visible_cards() -> list[str]:
    """List the cards that this process may use, without starting CUDA."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is not None:
        return [card.strip() for card in shown.split(",") if card.strip()]
    nodes = (path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*"))
    return sorted((name for name in nodes if name.isdecimal()), key=int)
