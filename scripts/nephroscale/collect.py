"""Values by key, and everything that can be reached from somewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

H = TypeVar("H", bound="Hashable")
K = TypeVar("K")
V = TypeVar("V")


def grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """Collect the values of each key; keys and values keep the order in which they appear."""
    found: dict[K, list[V]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


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
