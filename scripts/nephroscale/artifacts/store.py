"""The store: objects named by their digest, with manifests, published atomically and never changed afterwards."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nephroscale.artifacts.digest import FileEntry, digest_tree, list_files
from nephroscale.errors import NephroscaleError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Published(NamedTuple):
    """What publication found out about an object: digest, kind (`file` or `directory`) and size in bytes."""

    digest: str
    kind: str
    size: int


class Store:
    """A folder of content-addressed objects.

    ``objects/ab/<digest>`` is the object, ``manifests/ab/<digest>.json`` the list of its files with size, digest and
    time. Beside them: ``records/`` and ``repeats/`` (see :mod:`nephroscale.artifacts.records`), ``raw/`` (the cache
    of raw files' digests), ``work/`` (checkpoints), ``tmp/`` and ``damaged/``.

    Parameters
    ----------
    path
        The store's folder; made when it is first written to.
    mode
        ``private`` (objects are readable by their owner) or ``group`` (also by the owner's group).
    verify_on_read
        Hash an object before each use.
    """

    def __init__(self, path: Path, mode: str = "private", *, verify_on_read: bool = False) -> None:
        self.path = Path(path)
        self.group = mode == "group"
        self.verify_on_read = verify_on_read
        self._warned = False

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    # -- places ---------------------------------------------------------------------------------------------------

    def object_path(self, digest: str) -> Path:
        """Where the object of this digest lies, if it is there."""
        return self.path / "objects" / digest[:2] / digest

    def manifest_path(self, digest: str) -> Path:
        """Where the manifest of this digest lies, if it is there."""
        return self.path / "manifests" / digest[:2] / f"{digest}.json"

    def folder(self, *parts: str) -> Path:
        """A folder of the store, made if need be with the store's permissions."""
        folder = self.path.joinpath(*parts)
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            if self.group:
                for made in [folder, *folder.parents[: len(parts)]]:
                    with contextlib.suppress(PermissionError):
                        made.chmod(0o2770)
        return folder

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A fresh folder on the store's own file system, gone afterwards; a full disk gives one clear message."""
        folder = Path(tempfile.mkdtemp(prefix=f"{socket.gethostname()}-{os.getpid()}-", dir=self.folder("tmp")))
        try:
            yield folder
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise NephroscaleError(
                    "The disk of the store is full; nothing unfinished was kept and the store is whole.",
                    where=str(self.path),
                    todo="Free space (`nephroscale gc` lists what no result needs) and run again.",
                ) from error
            raise
        finally:
            remove_tree(folder)

    # -- writing --------------------------------------------------------------------------------------------------

    def publish(self, source: Path) -> Published:
        """Move a finished file or directory from :meth:`scratch` into the store.

        Parameters
        ----------
        source
            Lies on the store's file system. It is gone afterwards; where an equal object is there, that one stays.

        Raises
        ------
        NephroscaleError
            When it holds a link or something else that is neither file nor directory.
        """
        for folder, names, files in os.walk(source):
            for name in [*names, *files]:
                inner = Path(folder) / name
                if inner.is_symlink() or not (inner.is_file() or inner.is_dir()):
                    raise NephroscaleError("An object may hold only files and folders.", where=name)
        digest, kind, entries = digest_tree(source)
        self._lock_down(source, top=kind == "file")
        target = self.folder("objects", digest[:2]) / digest
        if kind == "file":
            try:
                os.link(source, target)
            except FileExistsError:
                self._replace_if_damaged(digest, source)
            except OSError:  # a file system without hard links: renaming puts equal bytes over equal bytes
                source.rename(target)
        else:
            try:
                source.rename(target)
            except OSError as error:
                if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                    raise
                self._replace_if_damaged(digest, source)
            self._lock_down(target, top=True)
        if not self.manifest_path(digest).exists():
            self._write_manifest(digest, kind, entries)
        return Published(digest, kind, sum(entry.size for entry in entries))

    def write_text(self, path: Path, text: str) -> None:
        """Write a small file of the store under a temporary name and rename it."""
        handle, temporary = tempfile.mkstemp(dir=self.folder("tmp"), prefix="text-")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(temporary, 0o660 if self.group else 0o600)  # noqa: PTH101
        self.folder(*path.parent.relative_to(self.path).parts)
        os.replace(temporary, path)  # noqa: PTH105

    def _replace_if_damaged(self, digest: str, source: Path) -> None:
        if self.find(digest) is None:  # find has set the damaged object aside
            source.rename(self.object_path(digest))

    def _write_manifest(self, digest: str, kind: str, entries: list[FileEntry]) -> None:
        """Write the manifest from the object's own times: of two writers only one's files are there."""
        times = {name: stat.st_mtime_ns for name, stat in list_files(self.object_path(digest))}
        files = [[entry.path, entry.size, entry.digest, times[entry.path]] for entry in entries]
        text = json.dumps({"digest": digest, "kind": kind, "size": sum(e.size for e in entries), "files": files})
        self.write_text(self.manifest_path(digest), text)

    def _lock_down(self, path: Path, *, top: bool) -> None:
        """Make an object read-only. A directory's own bits change after its renaming, which needs them."""
        file_mode, folder_mode = (0o440, 0o550) if self.group else (0o400, 0o500)
        if path.is_file():
            path.chmod(file_mode)
            return
        for folder, _, files in os.walk(path, topdown=False):
            for name in files:
                (Path(folder) / name).chmod(file_mode)
            if top or Path(folder) != path:
                Path(folder).chmod(folder_mode)

    # -- reading --------------------------------------------------------------------------------------------------

    def find(self, digest: str) -> Path | None:
        """Look up an object and check its manifest, sizes and times.

        Returns
        -------
        Path or None
            None where it is absent, may not be read (with a message), or turned out damaged: it is then set aside.
        """
        path = self.object_path(digest)
        try:
            manifest = self.manifest(digest)
            found = list_files(path)
            fresh = manifest is not None and [(e.path, e.size, e.mtime_ns) for e in manifest] == [
                (name, stat.st_size, stat.st_mtime_ns) for name, stat in found
            ]
            if (not fresh or self.verify_on_read) and self.damage(digest):
                self.set_aside(digest)
                return None
            if not fresh:
                _, kind, entries = digest_tree(path)
                self._write_manifest(digest, kind, entries)
            elif not os.access(path, os.R_OK):
                raise PermissionError
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError:
            if not self._warned:
                print(
                    f"nephroscale: some objects of {self.path} may not be read by this user and are made again "
                    "(their owner can share them with store.mode: group).",
                    file=sys.stderr,
                )
                self._warned = True
            return None
        return path

    def manifest(self, digest: str) -> list[FileEntry] | None:
        """The files of an object as they were published, or None."""
        try:
            text = self.manifest_path(digest).read_bytes()
            return [FileEntry(*entry) for entry in json.loads(text)["files"]]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def damage(self, digest: str) -> str | None:
        """Hash an object again: what is wrong with it, or None where its bytes are what its name says."""
        path = self.object_path(digest)
        if not path.exists():
            return "missing"
        actual, _, entries = digest_tree(path)
        if actual == digest:
            return None
        known = {entry.path: entry for entry in self.manifest(digest) or []}
        present = {entry.path: entry for entry in entries}
        if not known:
            return "the bytes are not those of the name"
        faults = [f"{name or 'file'}: missing" for name in known.keys() - present.keys()]
        faults += [f"{name}: added" for name in present.keys() - known.keys()]
        for name in sorted(known.keys() & present.keys()):
            if present[name].size != known[name].size:
                faults.append(f"{name or 'file'}: {present[name].size} bytes instead of {known[name].size}")
            elif present[name].digest != known[name].digest:
                faults.append(f"{name or 'file'}: bytes differ")
        return "; ".join(sorted(faults)) or "the bytes are not those of the name"

    def set_aside(self, digest: str) -> None:
        """Move a damaged object out of the way: it is never used again, and made anew by the next run."""
        path = self.object_path(digest)
        target = self.folder("damaged") / f"{digest}-{os.getpid()}-{len(os.listdir(self.folder('damaged')))}"  # noqa: PTH208
        with contextlib.suppress(FileNotFoundError):
            if path.is_dir():
                path.chmod(0o700)
            path.rename(target)
        self.manifest_path(digest).unlink(missing_ok=True)

    def remove(self, digest: str) -> None:
        """Delete an object and its manifest."""
        self.manifest_path(digest).unlink(missing_ok=True)
        remove_tree(self.object_path(digest))


def remove_tree(path: Path) -> None:
    """Delete a file or a directory, read-only or not; absent ones are fine."""
    if path.is_dir() and not path.is_symlink():
        for folder, _, _ in os.walk(path):
            with contextlib.suppress(OSError):
                Path(folder).chmod(0o700)
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
