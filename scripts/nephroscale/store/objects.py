"""The store of objects: named by their digest, published atomically, never changed afterwards."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import signal
import stat
import sys
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Future
from functools import partial
from pathlib import Path
from typing import NamedTuple

import orjson

from nephroscale.collect import Kept
from nephroscale.digest_on_write import pop_digest
from nephroscale.errors import NephroscaleError
from nephroscale.store.digest import FileEntry, digest_tree, list_files
from nephroscale.store.disk import read_file
from nephroscale.store.folder import StoreFolder, remove_tree, temporary_prefix

#: The damage of an object that is not there.
MISSING = "missing"

#: Objects from which on another process checks their files, and how many it answers at a time.
_MANY, _AT_A_TIME = 4000, 500


class Published(NamedTuple):
    """A published object: digest, kind (`file` or `directory`) and size in bytes."""

    digest: str
    kind: str
    size: int


class Store(StoreFolder):
    """A folder of content-addressed objects.

    ``objects/ab/<digest>`` is the object; ``manifests/ab/<digest>.json`` lists its files with size, digest and
    modification time. Other folders are ``records/`` and ``repeats/`` (:mod:`nephroscale.store.records`),
    ``test_sets/`` (:mod:`nephroscale.store.test_set_exposure`), ``raw/`` (the cache of raw files' digests), ``work/``
    (checkpoints), ``tmp/`` and ``damaged/``.

    Parameters
    ----------
    path
        The store's folder; created at the first write.
    mode
        ``private`` (only the owner reads objects) or ``group`` (the owner's group too).
    verify_on_read
        Hash an object before each use.
    """

    def __init__(self, path: Path, mode: str = "private", *, verify_on_read: bool = False) -> None:
        super().__init__(path, mode)
        self._top = str(self.path)  # paths of objects are put together as text, which is faster
        self.verify_on_read = verify_on_read
        self._warned = False
        #: From a working directory and a folder to the relative path of the objects.
        self._ways: Kept[tuple[str, str], str] = Kept(lambda key: os.path.relpath(f"{self._top}/objects", key[1]))
        #: Answers of another process, by the digest that was asked for.
        self._ahead: dict[str, Future[set[str]]] = {}

    # -- places ---------------------------------------------------------------------------------------------------

    def object_path(self, digest: str) -> Path:
        """The path of an object, whether it exists or not."""
        return Path(f"{self._top}/objects/{digest[:2]}/{digest}")

    def relative_path(self, digest: str | None, folder: Path | str) -> str | None:
        """The path of an object relative to a folder, for a link; None for no object."""
        if not digest:
            return None
        return f"{self._ways[os.getcwd(), str(folder)]}/{digest[:2]}/{digest}"  # noqa: PTH109

    def manifest_path(self, digest: str) -> Path:
        """The path of an object's manifest, whether it exists or not."""
        return Path(f"{self._top}/manifests/{digest[:2]}/{digest}.json")

    # -- writing --------------------------------------------------------------------------------------------------

    def publish(self, source: Path) -> Published:
        """Move a finished file or directory from :meth:`scratch` into the store.

        Parameters
        ----------
        source
            On the store's file system. It is moved; where the store has an equal object, that one is kept. Files that
            were digested while they were written (:mod:`nephroscale.digest_on_write`) are not read again.

        Raises
        ------
        NephroscaleError
            When the source holds a link or anything else that is neither file nor directory, when the disk is full, or
            when the store has an equal object that this user may not read.
        """
        for name, state in list_files(source):
            if not stat.S_ISREG(state.st_mode):
                raise NephroscaleError("An object can contain only files and folders.", where=name)
        digest, kind, entries = digest_tree(source, lambda name, state: pop_digest(source / name, state))
        self._lock_down(source, top=kind == "file")
        if kind == "directory" and self.group:
            source.chmod(0o750)  # readable by the group from the start; renaming needs the right to write
        target = self.folder("objects", digest[:2]) / digest
        moved = self._move_in(source, target, kind)
        if not moved and self.find(digest) is None:  # a damaged object was in the way, and find has set it aside
            moved = self._move_in(source, target, kind)
            if not moved and not os.access(target, os.R_OK):
                raise NephroscaleError(
                    "The store has an equal object, but this user may not read it.",
                    where=str(target),
                    fix="Ask its owner to share the store (store.mode: group), or use your own store.",
                )
        if moved and kind == "directory":
            target.chmod(0o550 if self.group else 0o500)
        if not self.manifest_path(digest).exists():
            self._write_manifest(digest, kind, entries)
        return Published(digest, kind, sum(entry.size for entry in entries))

    @staticmethod
    def _move_in(source: Path, target: Path, kind: str) -> bool:
        """Give an object its final name atomically; False where another object has the name."""
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
            source.rename(target)  # a file system without hard links: equal bytes replace equal bytes
        return True

    def _write_manifest(self, digest: str, kind: str, entries: list[FileEntry]) -> None:
        """Write the manifest with the modification times of the stored files: of two writers, only one's are stored."""
        times = {name: stat.st_mtime_ns for name, stat in list_files(self.object_path(digest))}
        self.write_text(
            self.manifest_path(digest),
            json.dumps(
                {
                    "digest": digest,
                    "kind": kind,
                    "size": sum(e.size for e in entries),
                    "files": [[entry.path, entry.size, entry.digest, times[entry.path]] for entry in entries],
                }
            ),
        )

    def _lock_down(self, path: Path, *, top: bool) -> None:
        """Make an object read-only, except the top directory, which must stay writable until it is renamed."""
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
        """Look up an object and check the sizes and times of its files against its manifest.

        Returns
        -------
        Path or None
            None where it is missing, may not be read (with a message), or is damaged; a damaged one is set aside.
        """
        return self.object_path(digest) if self.has(digest) else None

    def has(self, digest: str) -> bool:
        """Whether :meth:`find` finds an object."""
        path = f"{self._top}/objects/{digest[:2]}/{digest}"
        try:
            fresh = self._was_fresh(digest) or _is_fresh(self._top, digest)
            if not fresh:
                os.lstat(path)  # raises where there is no object
            if (not fresh or self.verify_on_read) and self.damage(digest):
                if self.deferred is None:
                    self.set_aside(digest)
                else:
                    self.deferred.append(partial(self.find, digest))
                return False
            if not fresh and self.deferred is not None:
                self.deferred.append(partial(self.find, digest))
            elif not fresh:
                _, kind, entries = digest_tree(path)
                with contextlib.suppress(PermissionError):  # another user's object
                    self._lock_down(Path(path), top=True)
                self._write_manifest(digest, kind, entries)
            elif not os.access(path, os.R_OK):
                raise PermissionError
        except (FileNotFoundError, NotADirectoryError):
            return False
        except PermissionError:
            if not self._warned:
                print(
                    f"nephroscale: this user may not read some objects of {self.path}, and cannot replace them: "
                    "their owner has to share them (store.mode: group).",
                    file=sys.stderr,
                )
                self._warned = True
            return False
        return True

    def check_ahead(self, digests: Sequence[str]) -> None:
        """Let another process check the files of objects that :meth:`has` is about to be asked for, in this order.

        Looking up every file of thousands of objects takes the system as long as the rest of the plan takes. A few
        objects are left to :meth:`has`.
        """
        if len(digests) < _MANY:
            return
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        fork = multiprocessing.get_context("fork")
        pool = ProcessPoolExecutor(1, fork, signal.signal, (signal.SIGINT, signal.SIG_DFL))
        for start in range(0, len(digests), _AT_A_TIME):
            part = digests[start : start + _AT_A_TIME]
            self._ahead.update(dict.fromkeys(part, pool.submit(_find_fresh, self._top, part)))
        pool.shutdown(wait=False)

    def _was_fresh(self, digest: str) -> bool:
        """Whether the other process found an object fresh; each answer is used once."""
        answer = self._ahead.pop(digest, None)
        with contextlib.suppress(BrokenExecutor):
            return answer is not None and digest in answer.result()
        return False

    def manifest(self, digest: str) -> list[FileEntry] | None:
        """Read the list of an object's files as they were published, or None."""
        try:
            return [FileEntry(*entry) for entry in orjson.loads(self.manifest_path(digest).read_bytes())["files"]]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def damage(self, digest: str) -> str | None:
        """Hash an object again and describe its damage; None if its bytes match its name.

        Raises
        ------
        PermissionError
            When this user may not read it.
        """
        return self.check(digest)[0]

    def check(self, digest: str) -> tuple[str | None, int]:
        """Do as :meth:`damage`, and count the bytes that were read."""
        path = f"{self._top}/objects/{digest[:2]}/{digest}"
        try:
            actual, _, entries = digest_tree(path, _refuse_links)
        except (FileNotFoundError, NotADirectoryError):
            return MISSING, 0
        except PermissionError:
            raise
        except OSError as error:
            return f"cannot be read ({error.strerror})", 0
        return (None if actual == digest else self._differences(digest, entries)), sum(entry.size for entry in entries)

    def _differences(self, digest: str, entries: list[FileEntry]) -> str:
        """Describe how the files of an object differ from its manifest."""
        known = {entry.path: entry for entry in self.manifest(digest) or []}
        present = {entry.path: entry for entry in entries}
        if not known:
            return "the bytes do not match the name"
        faults = [f"{name or 'file'}: missing" for name in known.keys() - present.keys()]
        faults += [f"{name or 'file'}: added" for name in present.keys() - known.keys()]
        for name in sorted(known.keys() & present.keys()):
            if present[name].size != known[name].size:
                faults.append(f"{name or 'file'}: {present[name].size} bytes instead of {known[name].size}")
            elif present[name].digest != known[name].digest:
                faults.append(f"{name or 'file'}: bytes differ")
        return "; ".join(sorted(faults)) or "the bytes do not match the name"

    def set_aside(self, digest: str) -> None:
        """Move a damaged object to ``damaged/``: it is never used again, and the next run makes a new one.

        Another process may have done so already and published an intact one, so the moved object is checked again and
        put back if it is intact.
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
                # Another group member's folder: only its owner can move it elsewhere, but it can be renamed in place.
                path.rename(path.with_name(f"{target.name}.damaged"))
                return
        except FileNotFoundError:
            return
        with contextlib.suppress(OSError):
            if digest_tree(target, _refuse_links)[0] == digest:
                self._move_in(target, path, "directory" if target.is_dir() else "file")
                self._lock_down(path, top=True)

    def remove(self, digest: str) -> None:
        """Delete an object and its manifest; the object loses its name atomically.

        Raises
        ------
        PermissionError
            When it is a folder of another user; nothing is changed then.
        """
        path = self.object_path(digest)
        aside = (
            self.folder("tmp") / f"{temporary_prefix()}{secrets.token_hex(4)}"
        )  # without a new folder, since the disk may be full
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


def _refuse_links(name: str, state: os.stat_result) -> str | None:
    """Give links and special files a value that is no digest, for :func:`digest_tree`."""
    return None if stat.S_ISREG(state.st_mode) else f"not a file: {name}"


def _is_fresh(store: str, digest: str) -> bool:
    """Whether an object's files have the sizes and times of its manifest, with no file added or removed since.

    Folders are not listed: adding or removing a file raises the folder's time above the manifest's. Every object of
    a cohort is checked at every start, so this uses plain calls on plain strings.
    """
    top = f"{store}/objects/{digest[:2]}/{digest}"
    try:
        content, manifest = read_file(f"{store}/manifests/{digest[:2]}/{digest}.json")
        files = orjson.loads(content)["files"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False
    except PermissionError:
        os.lstat(top)  # raises where there is no object
        raise
    if files and files[0][0] == "":
        state = os.lstat(top)
        return [state.st_size, state.st_mtime_ns] == [files[0][1], files[0][3]] and stat.S_ISREG(state.st_mode)
    written = manifest.st_mtime_ns
    last, folders = "", set[str]()
    try:
        # Names within an open folder take the system a quarter less time than whole paths.
        opened = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        for name, size, _, mtime_ns in files:
            state = os.lstat(name, dir_fd=opened)
            if state.st_mtime_ns != mtime_ns or state.st_size != size or not stat.S_ISREG(state.st_mode):
                return False
            folder = name.rpartition("/")[0]
            if folder == last:
                continue
            last = folder
            while folder and folder not in folders:
                folders.add(folder)
                folder = folder.rpartition("/")[0]
        return os.fstat(opened).st_mtime_ns <= written and all(
            os.lstat(folder, dir_fd=opened).st_mtime_ns <= written for folder in folders
        )
    except (FileNotFoundError, NotADirectoryError):
        return False
    finally:
        os.close(opened)


def _find_fresh(store: str, digests: Sequence[str]) -> set[str]:
    """The objects that are fresh; others are left to the process that asks."""
    found = set()
    for digest in digests:
        with contextlib.suppress(OSError):
            if _is_fresh(store, digest):
                found.add(digest)
    return found
