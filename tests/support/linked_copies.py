"""Copies of a finished project in which objects of the store and compiled modules are hard links.

Nothing changes a file of an object, so tests can share them: they are most of a project's bytes and half of its files.
A test that damages one first calls :func:`separate`.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

#: Of each object that was linked: size, time and rights when it was linked first.
_linked: dict[str, tuple[int, int, int]] = {}


def copy_project(source: Path, target: Path) -> None:
    """Copy a project to a new folder, with times, rights and symbolic links.

    Raises
    ------
    AssertionError
        When a file of an object has changed since it was linked first: a test has written into a shared file.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    same_disk = source.stat().st_dev == target.parent.stat().st_dev
    _copy_folder(str(source), str(target), f"{source}{os.sep}store{os.sep}objects" if same_disk else None)


def separate(path: Path) -> Path:
    """Put a file that can be changed in place of a linked one, with equal bytes and time."""
    path.parent.chmod(0o700)
    copy = path.with_name(f"{path.name}.copy")
    shutil.copy2(path, copy)
    copy.chmod(0o600)
    return copy.replace(path)


def _copy_folder(source: str, target: str, objects: str | None) -> None:
    os.mkdir(target)  # noqa: PTH102  (some thousand files for each of some hundred tests)
    link = objects is not None and source.startswith(objects)
    with os.scandir(source) as entries:
        for entry in entries:
            copy = f"{target}{os.sep}{entry.name}"
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), copy)  # noqa: PTH115, PTH211
            elif entry.is_dir():
                _copy_folder(entry.path, copy, objects)
            elif link or (objects is not None and entry.name.endswith(".pyc")):
                if link:
                    _check(entry)
                os.link(entry.path, copy)
            else:
                shutil.copy2(entry.path, copy)
    shutil.copystat(source, target)


def _check(entry: os.DirEntry[str]) -> None:
    found = entry.stat()
    state = (found.st_size, found.st_mtime_ns, found.st_mode)
    assert _linked.setdefault(entry.path, state) == state, f"{entry.path} is shared and was changed: see {__name__}"
