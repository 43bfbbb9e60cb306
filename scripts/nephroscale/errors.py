"""The two ways in which a unit of work ends without a result: an error, or a rejection of its data."""

from __future__ import annotations


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
