"""Python's search for unreachable cycles, in processes that hold very many objects to their end."""

import gc


def collect_seldom() -> None:
    """Let this process look for cycles seldom: it holds what it makes to its end, and has few cycles.

    Among the objects of 100,000 artifacts the search takes as long as half of the work itself.
    """
    gc.set_threshold(200_000, 100, 1_000)
