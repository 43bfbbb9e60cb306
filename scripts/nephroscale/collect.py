"""Values by key, and everything that can be reached from somewhere."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

H = TypeVar("H", bound="Hashable")
K = TypeVar("K")
V = TypeVar("V")


def grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """Collect the values of each key; keys and values keep the order in which they appear."""
    found: dict[K, list[V]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


class Kept(dict[K, V]):
    """Values that are made when they are first asked for, and kept.

    Parameters
    ----------
    make
        Makes the value of a key.
    """

    def __init__(self, make: Callable[[K], V]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: K) -> V:
        value = self[key] = self._make(key)
        return value


def reachable(start: Iterable[H], following: Callable[[H], Iterable[H]]) -> set[H]:
    """Collect some things and all that follow from them, directly or through others."""
    found: set[H] = set()
    pending = list(start)
    while pending:
        one = pending.pop()
        if one not in found:
            found.add(one)
            pending += following(one)
    return found
