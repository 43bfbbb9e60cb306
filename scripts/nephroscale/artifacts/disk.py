"""Full disks and refused writes, told in one clear message."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING

from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextlib.contextmanager
def full_disk(path: Path) -> Iterator[None]:
    """Tell of a full disk, a used-up quota or a size limit in one message that says where and what to do.

    Whoever writes in here has to leave nothing half-written under a final name; the message promises it.

    Parameters
    ----------
    path
        The folder that was written to.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise NephroscaleError(
            f"The disk is full ({error.strerror}); nothing unfinished was kept and the store is whole.",
            where=str(path),
            todo="Free space (`nephroscale gc` lists what no result needs) and run again.",
        ) from error
