"""The store: objects named by their digest, with manifests, published atomically and never changed afterwards."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
import socket
import stat
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import orjson

from nephroscale.digest_on_write import pop_digest
from nephroscale.errors import NephroscaleError
from nephroscale.store.digest import FileEntry, digest_open, digest_tree, list_files
from nephroscale.store.disk import full_disk

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
    time. Beside them: ``records/`` and ``repeats/`` (see :mod:`nephroscale.store.records`), ``raw/`` (the cache
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
        self._top = str(self.path)  # what is asked for of every artifact is put together as text, which is quicker
        self.group = mode == "group"
        self.verify_on_read = verify_on_read
        self._warned = False

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    # -- places ---------------------------------------------------------------------------------------------------

    def object_path(self, digest: str) -> Path:
        """Where the object of this digest lies, if it is there."""
        return Path(f"{self._top}/objects/{digest[:2]}/{digest}")

    def manifest_path(self, digest: str) -> Path:
        """Where the manifest of this digest lies, if it is there."""
        return Path(f"{self._top}/manifests/{digest[:2]}/{digest}.json")

    def folder(self, *parts: str) -> Path:
        """A folder of the store, made if need be with the store's permissions."""
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
        """Make a folder that the group may use from its first moment; one that is there is opened by its owner."""
        if folder.is_dir():
            with contextlib.suppress(PermissionError):
                folder.chmod(0o2770)
            return
        tmp = self.path / "tmp"
        made = Path(tempfile.mkdtemp(prefix=_prefix(), dir=tmp if tmp.is_dir() else folder.parent))
        try:
            made.chmod(0o2770)
            made.rename(folder)
        except OSError as error:
            if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:  # someone else was first
                raise
        finally:
            with contextlib.suppress(FileNotFoundError):
                made.rmdir()

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A fresh folder on the store's own file system, gone afterwards; a full disk gives one clear message."""
        with full_disk(self.path):
            folder = Path(tempfile.mkdtemp(prefix=_prefix(), dir=self.folder("tmp")))
            try:
                yield folder
            finally:
                remove_tree(folder)

    # -- writing --------------------------------------------------------------------------------------------------

    def publish(self, source: Path) -> Published:
        """Move a finished file or directory from :meth:`scratch` into the store.

        Parameters
        ----------
        source
            Lies on the store's file system. It is gone afterwards; where an equal object is there, that one stays.
            Files that were digested while they were written (:mod:`nephroscale.digest_on_write`) are not read.

        Raises
        ------
        NephroscaleError
            When it holds a link or something else that is neither file nor directory; when the disk is full; when an
            equal object is there that this user may not read.
        """
        for name, state in list_files(source):
            if not stat.S_ISREG(state.st_mode):
                raise NephroscaleError("An object may hold only files and folders.", where=name)
        digest, kind, entries = digest_tree(source, lambda name, state: pop_digest(source / name, state))
        self._lock_down(source, top=kind == "file")
        if kind == "directory" and self.group:
            source.chmod(0o750)  # the group may read it from its first moment; renaming needs the right to write
        target = self.folder("objects", digest[:2]) / digest
        moved = self._move_in(source, target, kind)
        if not moved and self.find(digest) is None:  # what was in the way is damaged, and find has set it aside
            moved = self._move_in(source, target, kind)
            if not moved and not os.access(target, os.R_OK):
                raise NephroscaleError(
                    "An equal object is there, but this user may not read it.",
                    where=str(target),
                    todo="Ask its owner to share the store (store.mode: group), or use a store of your own.",
                )
        if moved and kind == "directory":
            target.chmod(0o550 if self.group else 0o500)
        if not self.manifest_path(digest).exists():
            self._write_manifest(digest, kind, entries)
        return Published(digest, kind, sum(entry.size for entry in entries))

    @staticmethod
    def _move_in(source: Path, target: Path, kind: str) -> bool:
        """Give an object its final name in one step; False where another one has it."""
        try:
            if kind == "file":
                os.link(source, target)
            else:
                source.rename(target)
        except OSError as error:
            if error.errno in {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}:
                return False
            if kind == "directory" or error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EACCES}:
                raise
            source.rename(target)  # a file system without hard links: renaming puts equal bytes over equal bytes
        return True

    def write_text(self, path: Path, text: str, *, replace: bool = True) -> bool:
        """Write a small file of the store under a temporary name and rename it.

        Parameters
        ----------
        path
            Below the store's folder.
        text
            What is to be in it.
        replace
            Whether it may take the place of an older one.

        Returns
        -------
        bool
            False where an older one was there and was kept.
        """
        with full_disk(self.path):
            handle, temporary = tempfile.mkstemp(dir=self.folder("tmp"), prefix=_prefix())
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as stream:
                    stream.write(text)
                os.chmod(temporary, 0o660 if self.group else 0o600)  # noqa: PTH101
                self.folder(*path.parent.relative_to(self.path).parts)
                if replace:
                    os.replace(temporary, path)  # noqa: PTH105
                    return True
                with contextlib.suppress(OSError):
                    os.link(temporary, path)
                    return True
                if path.exists():
                    return False
                os.replace(temporary, path)  # noqa: PTH105  (a file system without hard links)
                return True
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)  # noqa: PTH108

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
        path = f"{self._top}/objects/{digest[:2]}/{digest}"
        try:
            os.lstat(path)
            fresh = self._is_fresh(digest, path)
            if (not fresh or self.verify_on_read) and self.damage(digest):
                self.set_aside(digest)
                return None
            if not fresh:
                _, kind, entries = digest_tree(path)
                with contextlib.suppress(PermissionError):  # of another user's
                    self._lock_down(Path(path), top=True)
                self._write_manifest(digest, kind, entries)
            elif not os.access(path, os.R_OK):
                raise PermissionError
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError:
            if not self._warned:
                print(
                    f"nephroscale: some objects of {self.path} may not be read by this user, and none can be made in "
                    "their place: their owner has to share them (store.mode: group).",
                    file=sys.stderr,
                )
                self._warned = True
            return None
        return Path(path)

    def _is_fresh(self, digest: str, top: str) -> bool:
        """Whether an object's files have the sizes and times of its manifest, and nothing came or went since.

        Folders are not listed: whatever is added to one or taken from it raises its time above the manifest's. It is
        done for every object of a cohort at every start, so plain calls on plain strings are worth their looks.
        """
        try:
            with open(f"{self._top}/manifests/{digest[:2]}/{digest}.json", "rb") as stream:  # noqa: PTH123
                files = orjson.loads(stream.read())["files"]
                written = os.fstat(stream.fileno()).st_mtime_ns
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return False
        folders = {top}
        for name, size, _, mtime_ns in files:
            try:
                state = os.lstat(f"{top}/{name}" if name else top)
            except (FileNotFoundError, NotADirectoryError):
                return False
            if state.st_mtime_ns != mtime_ns or state.st_size != size or not stat.S_ISREG(state.st_mode):
                return False
            while name:
                name = name.rpartition("/")[0]  # noqa: PLW2901
                folders.add(f"{top}/{name}" if name else top)
        if files and files[0][0] == "":
            return True
        return all(os.lstat(folder).st_mtime_ns <= written for folder in folders)

    def manifest(self, digest: str) -> list[FileEntry] | None:
        """The files of an object as they were published, or None."""
        try:
            text = self.manifest_path(digest).read_bytes()
            return [FileEntry(*entry) for entry in orjson.loads(text)["files"]]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def damage(self, digest: str) -> str | None:
        """Hash an object again: what is wrong with it, or None where its bytes are what its name says.

        Raises
        ------
        PermissionError
            When this user may not read it, so that nothing can be said of it.
        """
        return self.check(digest)[0]

    def check(self, digest: str) -> tuple[str | None, int]:
        """As :meth:`damage`, with the number of bytes that were read."""
        path = f"{self._top}/objects/{digest[:2]}/{digest}"
        try:
            size = _sound_size(path, digest)
            if size is not None:
                return None, size
            actual, _, entries = digest_tree(path, _refuse_links)
        except (FileNotFoundError, NotADirectoryError):
            return "missing", 0
        except PermissionError:
            raise
        except OSError as error:
            return f"cannot be read ({error.strerror})", 0
        size = sum(entry.size for entry in entries)
        return (None if actual == digest else self._differences(digest, entries)), size

    def _differences(self, digest: str, entries: list[FileEntry]) -> str:
        """Tell how the files of an object differ from its manifest."""
        known = {entry.path: entry for entry in self.manifest(digest) or []}
        present = {entry.path: entry for entry in entries}
        if not known:
            return "the bytes are not those of the name"
        faults = [f"{name or 'file'}: missing" for name in known.keys() - present.keys()]
        faults += [f"{name or 'file'}: added" for name in present.keys() - known.keys()]
        for name in sorted(known.keys() & present.keys()):
            if present[name].size != known[name].size:
                faults.append(f"{name or 'file'}: {present[name].size} bytes instead of {known[name].size}")
            elif present[name].digest != known[name].digest:
                faults.append(f"{name or 'file'}: bytes differ")
        return "; ".join(sorted(faults)) or "the bytes are not those of the name"

    def set_aside(self, digest: str) -> None:
        """Move a damaged object out of the way: it is never used again, and made anew by the next run.

        Another process may have done so already and put a sound one in its place: what was moved is looked at again,
        and a sound one comes back.
        """
        path = self.object_path(digest)
        folder = self.folder("damaged")
        target = folder / f"{digest}-{os.getpid()}-{len(os.listdir(folder))}"  # noqa: PTH208
        self.manifest_path(digest).unlink(missing_ok=True)
        try:
            with contextlib.suppress(PermissionError):
                if stat.S_ISDIR(os.lstat(path).st_mode):
                    path.chmod(0o700)
            try:
                path.rename(target)
            except PermissionError:
                # A folder of another user of the group: only its owner may move it elsewhere, but it can be renamed.
                path.rename(path.with_name(f"{target.name}.damaged"))
                return
        except FileNotFoundError:
            return
        with contextlib.suppress(OSError):
            if digest_tree(target, _refuse_links)[0] == digest:
                self._move_in(target, path, "directory" if target.is_dir() else "file")
                self._lock_down(path, top=True)

    def remove(self, digest: str) -> None:
        """Delete an object and its manifest; it loses its name in one step.

        Raises
        ------
        PermissionError
            When it is a folder of another user; nothing has changed then.
        """
        path = self.object_path(digest)
        aside = self.folder("tmp") / f"{_prefix()}{secrets.token_hex(4)}"  # no new folder: the disk may be full
        with contextlib.suppress(FileNotFoundError):
            mode = os.lstat(path).st_mode
            if stat.S_ISDIR(mode):
                path.chmod(0o700)  # renaming a folder needs to write in it
            try:
                path.rename(aside)
            except PermissionError:
                if stat.S_ISDIR(mode):
                    path.chmod(stat.S_IMODE(mode))
                raise
        self.manifest_path(digest).unlink(missing_ok=True)
        remove_tree(aside)


def _prefix() -> str:
    """How names in ``tmp/`` begin: they tell which process of which host made them."""
    return f"{socket.gethostname()}-{os.getpid()}-"


def _sound_size(path: str, digest: str) -> int | None:
    """The size of a file object that is sound, as most are; None of any other object."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:  # a link, a pipe
            return None
        raise
    try:
        state = os.fstat(handle)
        return state.st_size if stat.S_ISREG(state.st_mode) and digest_open(handle, state.st_size) == digest else None
    finally:
        os.close(handle)


def _refuse_links(name: str, state: os.stat_result) -> str | None:
    """For :func:`digest_tree`: nothing that is no file has the digest of one, wherever it leads."""
    return None if stat.S_ISREG(state.st_mode) else f"not a file: {name}"


def remove_tree(path: Path) -> None:
    """Delete a file or a directory, read-only or not; absent ones are fine."""
    if path.is_dir() and not path.is_symlink():
        for folder, _, _ in os.walk(path):
            with contextlib.suppress(OSError):
                Path(folder).chmod(0o700)
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
