"""Parsers of numbers, magnifications and grades as laboratories write them."""

from __future__ import annotations

import datetime as dt
import re

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_MAGNIFICATION = re.compile(r"[x×]?\s*([0-9]{1,3}(?:[, ][0-9]{3})+|[0-9]+(?:\.[0-9]+)?)\s*(k?)\s*[x×]?", re.IGNORECASE)
_GRADE = re.compile(r"([0-4](?:\.[05])?)\s*\+?")
_DATES = (
    re.compile(r"(?P<year>[12][0-9]{3})([-/.]?)(?P<month>[0-9]{2})\2(?P<day>[0-9]{2})([ T].*)?"),
    re.compile(r"(?P<day>[0-9]{1,2})\.\s?(?P<month>[0-9]{1,2})\.\s?(?P<year>[12][0-9]{3})"),
    re.compile(r"(?P<year>[12][0-9]{3})([-/](?P<month>[0-9]{2}))?"),
)
_GRADES_IN_WORDS = {
    "-": 0.0, "neg": 0.0, "negative": 0.0, "阴性": 0.0,
    "±": 0.5, "+-": 0.5, "+/-": 0.5, "trace": 0.5,
    "+": 1.0, "++": 2.0, "+++": 3.0, "++++": 4.0,
}  # fmt: skip


def number(text: str) -> float | None:
    """Read a number with a decimal point; None for any other text."""
    return float(text) if _NUMBER.fullmatch(text) else None


def date(text: str) -> dt.date | None:
    """Read a date: ``2024-05-31`` (with a time or without, or with slashes), ``20240531``, ``31.5.2024``, ``2024-05``.

    A month stands for its first day, a year for the first of January. None for any other text: of ``03/04/2024``
    nobody knows which number is the day.
    """
    for pattern in _DATES:
        if match := pattern.fullmatch(text.strip()):
            part = {name: int(value) for name, value in match.groupdict().items() if value}
            try:
                return dt.date(part["year"], part.get("month", 1), part.get("day", 1))
            except ValueError:
                return None
    return None


def magnification(text: str) -> float | None:
    """Read a magnification such as ``8000``, ``11,500x``, ``×11500`` or ``11.5k``; None for any other text."""
    match = _MAGNIFICATION.fullmatch(text.strip())
    if match is None:
        return None
    return round(float(re.sub(r"[, ]", "", match[1])) * (1000 if match[2] else 1), 6) or None


def grade(text: str) -> float | None:
    """Read a semiquantitative grade, 0 to 4: ``0``, ``±``, ``1+``, ``2``, ``+++``; None for any other text."""
    text = text.strip().casefold()
    if text in _GRADES_IN_WORDS:
        return _GRADES_IN_WORDS[text]
    match = _GRADE.fullmatch(text)
    value = float(match[1]) if match else None
    return value if value is not None and value <= 4 else None
