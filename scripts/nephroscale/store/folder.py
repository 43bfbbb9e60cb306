"""The folder of a store: its permissions, scratch folders, and small files that are written atomically."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from nephroscale.store.disk import full_disk


class StoreFolder:
    """A folder that its owner, or its owner's group, reads and writes.

    Parameters
    ----------
    path
        The folder; created at the first write.
    mode
        ``private`` (only the owner reads it) or ``group`` (the owner's group too).
    """

    def __init__(self, path: Path, mode: str = "private") -> None:
        self.path = Path(path)
        self.group = mode == "group"
        self.deferred: list[Callable[[], object]] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def folder(self, *parts: str) -> Path:
        """Get a folder of the store, created with the store's permissions where it is missing."""
        folder = self.path.joinpath(*parts)
        if folder.is_dir():
            return folder
        if not self.group:
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for steps in [(), ("tmp",), *(parts[: count + 1] for count in range(len(parts)))]:
            self._share(self.path.joinpath(*steps))
        return folder

    def _share(self, folder: Path) -> None:
        """Create a folder that the group can use from the start; its owner opens an existing one."""
        if folder.is_dir():
            with contextlib.suppress(PermissionError):
                folder.chmod(0o2770)
            return
        tmp = self.path / "tmp"
        made = Path(tempfile.mkdtemp(prefix=temporary_prefix(), dir=tmp if tmp.is_dir() else folder.parent))
        try:
            made.chmod(0o2770)
            made.rename(folder)
        except OSError as error:
            if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:  # another process was first
                raise
        finally:
            with contextlib.suppress(FileNotFoundError):
                made.rmdir()

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Provide an empty folder on the store's file system, deleted afterwards; report a full disk."""
        with full_disk(self.path):
            folder = Path(tempfile.mkdtemp(prefix=temporary_prefix(), dir=self.folder("tmp")))
            try:
                yield folder
            finally:
                remove_tree(folder)

    def defer(self) -> None:
        """From now on only collect what reading would write: small files, damaged objects to set aside."""
        self.deferred = []

    def catch_up(self) -> None:
        """Write what was collected since :meth:`defer`, and write at once from now on."""
        deferred, self.deferred = self.deferred or [], None
        for write in deferred:
            write()

    def write_text(self, path: Path, text: str, *, replace: bool = True) -> bool:
        """Write a small file of the store under a temporary name and rename it.

        Parameters
        ----------
        path
            Below the store's folder.
        text
            Its content.
        replace
            Whether it replaces an older file.

        Returns
        -------
        bool
            False where an older file was kept.
        """
        if self.deferred is not None:
            self.deferred.append(partial(self.write_text, path, text, replace=replace))
            return True
        with full_disk(self.path):
            handle, temporary = tempfile.mkstemp(dir=self.folder("tmp"), prefix=temporary_prefix())
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as stream:
                    stream.write(text)
                os.chmod(temporary, 0o660 if self.group else 0o600)  # noqa: PTH101
                self.folder(*path.parent.relative_to(self.path).parts)
                if not replace:
                    with contextlib.suppress(OSError):
                        os.link(temporary, path)
                        return True
                    if path.exists():
                        return False
                os.replace(temporary, path)  # noqa: PTH105  (also on a file system without hard links)
                return True
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)  # noqa: PTH108


def temporary_prefix() -> str:
    """The prefix of names in ``tmp/``: host and process that made them."""
    return f"{socket.gethostname()}-{os.getpid()}-"


def remove_tree(path: Path) -> None:
    """Delete a file or a directory, even if read-only or missing."""
    if path.is_dir() and not path.is_symlink():
        for folder, _, _ in os.walk(path):
            with contextlib.suppress(OSError):
                Path(folder).chmod(0o700)
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
