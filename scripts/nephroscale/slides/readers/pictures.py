"""Choose one of the pictures of a microscope's file; refuse stacks and scenes of which none is named, and damage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from nephroscale.slides.readers.base import UnreadableSlide

Picture = TypeVar("Picture")


def choose_picture(pictures: Sequence[Picture], number: int | None, kinds: str, suffix: str) -> Picture:
    """Choose a picture by the number that the table gives.

    Parameters
    ----------
    pictures
        Plane by plane and scene by scene.
    number
        From 1; None where the table names none.
    kinds
        What the pictures are, as `3 scenes`, for the message.
    suffix
        Of the format, for the example in the message.

    Raises
    ------
    UnreadableSlide
        When there is none, none of several is named, or the one named does not exist.
    """
    count = len(pictures)
    if not count:
        raise UnreadableSlide("it has no picture")
    if number is None and count > 1:
        raise UnreadableSlide(
            f"it has {count} pictures ({kinds}); name one in the column path, as a.{suffix}#2, or save a projection"
        )
    if number is not None and number > count:
        raise UnreadableSlide(f"it has no picture #{number}, but {count}")
    return pictures[0 if number is None else number - 1]


@contextmanager
def refuse_damage(name: str) -> Iterator[None]:
    """Refuse a file in which a package finds a fault, of whatever class.

    Parameters
    ----------
    name
        Of the format, as `LIF`.

    Raises
    ------
    UnreadableSlide
        When anything is raised within; one that has its own reason is passed on.
    """
    try:
        yield
    except UnreadableSlide:
        raise
    except Exception as fault:
        raise UnreadableSlide(f"the {name} is damaged or truncated") from fault
