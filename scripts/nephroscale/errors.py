"""The two ways in which a unit of work ends without a result: an error, or a rejection of its data."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence


class NephroscaleError(Exception):
    """An error that stops a command or a job; its message names what is wrong, where, and the fix.

    Parameters
    ----------
    what
        What is wrong, in one sentence.
    where
        The file, row, column, configuration key or unit of work.
    fix
        How to fix it.
    """

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        self.what, self.where, self.fix = what, where, fix
        super().__init__(
            "\n  ".join([what, *([f"where: {where}"] if where else []), *([f"fix: {fix}"] if fix else [])])
        )


def join_faults(faults: Sequence[NephroscaleError]) -> NephroscaleError:
    """Join faults into one error with all their messages; one alone stays as it is."""
    if len(faults) == 1:
        return faults[0]
    return NephroscaleError(f"There are {len(faults)} faults:\n" + list_faults(faults))


def list_faults(faults: Iterable[NephroscaleError]) -> str:
    """Write faults as a list."""
    return "\n".join("  - " + str(fault).replace("\n", "\n  ") for fault in faults)


def name_files(message: str, files: Iterable[str | os.PathLike[str]]) -> str:
    """Write the names of the files of the configuration where a message has only the word, after ``where:``."""
    here = os.getcwd() + os.sep  # noqa: PTH109
    names = " and ".join(os.fspath(file).removeprefix(here) for file in files)
    return message.replace("where: configuration", f"where: {names}") if names else message


class Rejected(Exception):  # noqa: N818  (a property of the data, not an error)
    """The data of one unit of work cannot be used; its receipt holds the reason, and the run continues.

    Raise it only for properties of the data, so that the same bytes are always rejected: an unreadable slide, a patient
    without TEM images. A full disk or an unreachable server is an error, not a rejection.

    Parameters
    ----------
    reason
        One sentence for the receipt and the report, without paths and names of patients.
    figures
        Values to keep with the reason.
    """

    def __init__(self, reason: str, **figures: object) -> None:
        self.reason, self.figures = reason, figures
        super().__init__(reason)
