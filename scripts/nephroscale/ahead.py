"""Prepare the next item while one is in use."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(makers: Iterable[Callable[[], Item]], threads: int = 1) -> Iterator[Item]:
    """Call functions in threads, as many ahead of the item in use as there are threads; the items keep their order."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Item]] = deque()
        for maker in makers:
            waiting.append(pool.submit(maker))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
