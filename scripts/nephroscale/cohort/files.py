"""Paths in the tables: whether they stay below the root, and whether the files exist."""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata


def leaves_root(text: str) -> bool:
    """Whether a relative path leaves the folder it is relative to (absolute paths are allowed anywhere)."""
    return ".." in text and not text.startswith("/") and posixpath.normpath(text).split("/", 1)[0] == ".."


def expand_home(text: str) -> str:
    """Expand `~/` at the start of a path."""
    return posixpath.expanduser(text) if text.startswith("~/") else text


def split_page(text: str) -> tuple[str, int | None]:
    """Split `a.tif#2` into the file and the page, which is None where the text names none."""
    found = re.fullmatch(r"(.+\.[A-Za-z0-9]+)#([1-9][0-9]{0,4})", text)
    return (found[1], int(found[2])) if found else (text, None)


class FolderListings:
    """Listings of folders, each read once: 50,000 single queries take minutes on a network file system."""

    def __init__(self) -> None:
        self._names: dict[str, set[str] | None] = {}
        self._folded: dict[str, dict[str, str]] = {}

    def has(self, path: str) -> bool:
        """Whether a file or a folder exists at the path."""
        folder, name = posixpath.split(path.rstrip("/"))
        names = self._list(folder)
        return posixpath.exists(path) if names is None else name in names

    def why_missing(self, text: str, path: str) -> str:
        """Describe a missing file, with a likely reason.

        Parameters
        ----------
        text
            The path as the table has it.
        path
            The path, resolved.
        """
        folder, name = posixpath.split(path.rstrip("/"))
        names = self._list(folder) or set()
        if folder not in self._folded:
            self._folded[folder] = {_fold(other): other for other in names}
        alike = self._folded[folder].get(_fold(name))
        if alike is not None:
            form = "in another Unicode form" if alike.casefold() != name.casefold() else "with other capitals"
            return f"there is no file {text!r}, but one of that name {form}; make the names equal."
        if "\\" in text:
            return f"there is no file {text!r}; write / between folders, not \\."
        if "://" in text:
            return f"there is no file {text!r}; addresses are not read: write the path of a file."
        if re.search(r"#0*$", text):
            return f"there is no file {text!r}; pictures of a file are counted from 1 (#1)."
        if re.match(r"\$\w|%\w+%", text):
            return f"there is no file {text!r}; variables are not replaced: write the path in full."
        return f"there is no file {text!r}." if text.startswith("/") else f"there is no file {text!r} in data.root."

    def _list(self, folder: str) -> set[str] | None:
        if folder not in self._names:
            try:
                self._names[folder] = set(os.listdir(folder or "."))  # noqa: PTH208  (a set: order is irrelevant)
            except (FileNotFoundError, NotADirectoryError):
                self._names[folder] = set()
            except OSError:  # a folder that may be entered but not listed
                self._names[folder] = None
        return self._names[folder]


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
