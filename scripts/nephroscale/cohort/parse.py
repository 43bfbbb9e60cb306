"""Parsers of numbers, magnifications and grades as laboratories write them."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_MAGNIFICATION = re.compile(r"[x×]?\s*([0-9]{1,3}(?:[, ][0-9]{3})+|[0-9]+(?:\.[0-9]+)?)\s*(k?)\s*[x×]?", re.IGNORECASE)
_GRADE = re.compile(r"([0-4](?:\.[05])?)\s*\+?")
_GRADES_IN_WORDS = {
    "-": 0.0, "neg": 0.0, "negative": 0.0, "阴性": 0.0,
    "±": 0.5, "+-": 0.5, "+/-": 0.5, "trace": 0.5,
    "+": 1.0, "++": 2.0, "+++": 3.0, "++++": 4.0,
}  # fmt: skip


def number(text: str) -> float | None:
    """Read a number with a decimal point; None for any other text."""
    return float(text) if _NUMBER.fullmatch(text) else None


def magnification(text: str) -> float | None:
    """Read a magnification such as ``8000``, ``11,500x``, ``×11500`` or ``11.5k``; None for any other text."""
    match = _MAGNIFICATION.fullmatch(text.strip())
    if match is None:
        return None
    value = float(re.sub(r"[, ]", "", match[1])) * (1000 if match[2] else 1)
    return round(value, 6) or None


def grade(text: str) -> float | None:
    """Read a semiquantitative grade, 0 to 4: ``0``, ``±``, ``1+``, ``2``, ``+++``; None for any other text."""
    text = text.strip().casefold()
    if text in _GRADES_IN_WORDS:
        return _GRADES_IN_WORDS[text]
    match = _GRADE.fullmatch(text)
    value = float(match[1]) if match else None
    return value if value is not None and value <= 4 else None
