"""Full disks and refused writes, told in one clear message."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# What libraries with errors of their own (safetensors) say of the same.
_SAID = (
    os.strerror(errno.ENOSPC),
    os.strerror(errno.EDQUOT),
    *(f"os error {code}" for code in sorted(FULL)),
)


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
    except Exception as error:
        if not is_full_disk(error):
            raise
        told = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise NephroscaleError(
            f"The disk is full ({told}); nothing unfinished was kept and the store is whole.",
            where=str(path),
            todo="Free space (`nephroscale gc` lists what no result needs) and run again.",
        ) from error


def is_full_disk(error: Exception) -> bool:
    """Whether an error tells of a full disk, a used-up quota or a size limit, and is not the message for it already."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in FULL
    return not isinstance(error, NephroscaleError) and any(text in str(error) for text in _SAID)
