"""Paths in the tables: whether they stay below the root, and whether the files exist."""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata

from nephroscale.collect import Kept


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
        self._names = Kept(_list)
        self._folded: Kept[str, dict[str, str]] = Kept(
            lambda folder: {_fold(name): name for name in self._names[folder] or ()}
        )

    def has(self, path: str) -> bool:
        """Whether a file or a folder exists at the path."""
        folder, name = posixpath.split(path.rstrip("/"))
        names = self._names[folder]
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
        alike = self._folded[folder].get(_fold(name))
        if alike is not None:
            form = "in another Unicode form" if alike.casefold() != name.casefold() else "with other capitals"
            return f"there is no file {text!r}, but one of that name {form}; make the names equal."
        hints = (
            ("\\" in text, "; write / between folders, not \\."),
            ("://" in text, "; addresses are not read: write the path of a file."),
            (re.search(r"#0*$", text), "; pictures of a file are counted from 1 (#1)."),
            (re.match(r"\$\w|%\w+%", text), "; variables are not replaced: write the path in full."),
            (not text.startswith("/"), " in data.root."),
            (True, "."),
        )
        return f"there is no file {text!r}" + next(hint for fits, hint in hints if fits)


def _list(folder: str) -> set[str] | None:
    try:
        return set(os.listdir(folder or "."))  # noqa: PTH208  (a set: order is irrelevant)
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError:  # a folder that may be entered but not listed
        return None


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
