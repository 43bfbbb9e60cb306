"""Full disks and exceeded quotas, reported in one clear message."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from nephroscale.errors import NephroscaleError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# How libraries with their own errors (safetensors) report the same.
_MESSAGES = (
    os.strerror(errno.ENOSPC),
    os.strerror(errno.EDQUOT),
    *(f"os error {code}" for code in sorted(FULL)),
)


@contextlib.contextmanager
def full_disk(path: Path) -> Iterator[None]:
    """Report a full disk, an exceeded quota or a size limit in one message with the place and the fix.

    Code in this context must leave no half-written file under a final name; the message promises it.

    Parameters
    ----------
    path
        The folder that is written to.
    """
    try:
        yield
    except Exception as error:
        if not is_full_disk(error):
            raise
        cause = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise NephroscaleError(
            f"The disk is full ({cause}). Unfinished files were deleted and the store is intact.",
            where=str(path),
            fix="Free space (`nephroscale gc` lists objects that no result needs) and run again.",
        ) from error


def file_state(path: Path | str) -> list[int] | None:
    """Give inode, size and time of a file; None for one that is gone."""
    try:
        found = os.stat(path)  # noqa: PTH116  (once for every artifact of a cohort)
    except OSError:
        return None
    return [found.st_ino, found.st_size, found.st_mtime_ns]


def read_file(path: Path | str) -> tuple[bytes, os.stat_result]:
    """Read a small file, and give its state: with half of the calls to the system that opening it by `open` needs."""
    handle = os.open(path, os.O_RDONLY)
    try:
        state = os.fstat(handle)
        content = os.read(handle, state.st_size + 1)
        if len(content) != state.st_size:  # it grows, or the file system gives it in pieces
            while more := os.read(handle, 1 << 20):
                content += more
        return content, state
    finally:
        os.close(handle)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it, so that nobody ever reads a part of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def is_full_disk(error: Exception) -> bool:
    """Whether an error means a full disk, an exceeded quota or a size limit, and is not yet reported as such."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in FULL
    return not isinstance(error, NephroscaleError) and any(text in str(error) for text in _MESSAGES)
