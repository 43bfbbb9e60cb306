"""The two ways in which work can end without a result."""

from __future__ import annotations


class NephroscaleError(Exception):
    """A fault that stops a command or a job: one message that says what, where, and what to do.

    Parameters
    ----------
    what
        What is wrong, in one sentence.
    where
        The file, row, column, configuration key or unit of work it was found in.
    todo
        What the user can do about it.
    """

    def __init__(self, what: str, *, where: str = "", todo: str = "") -> None:
        self.what, self.where, self.todo = what, where, todo
        super().__init__(
            "\n  ".join([what, *([f"where: {where}"] if where else []), *([f"to do: {todo}"] if todo else [])])
        )


class Rejected(Exception):  # noqa: N818  (a verdict on the data, not an error in the program)
    """The data of one unit of work cannot be used; the reason goes into its receipt and the run goes on.

    Raise it only for what the bytes themselves decide, so that the same bytes are always rejected: an unreadable
    slide, a patient without TEM images. A full disk or an unreachable server is an error, never a rejection.

    Parameters
    ----------
    reason
        One sentence for the receipt and the report; no path and no patient's name.
    figures
        Small JSON values worth keeping beside the reason.
    """

    def __init__(self, reason: str, **figures: object) -> None:
        self.reason, self.figures = reason, figures
        super().__init__(reason)
