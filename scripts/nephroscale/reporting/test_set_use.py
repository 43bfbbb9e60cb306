"""Telling how often the test folds were looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def describe_test_set_use(looks: Mapping[str, int], models: int) -> list[str]:
    """Say how many configurations were scored on the test folds, in one sentence; none where nothing is known.

    Parameters
    ----------
    looks
        Fold to the number of distinct configurations ever scored on its test patients, this run's included.
    models
        How many of them are the models of this run.
    """
    if not looks:
        return []
    most = max(looks.values())
    folds = "the test folds" if len(set(looks.values())) == 1 else "the most looked-at test fold"
    others = most - models
    earlier = f"the {models} of this run and {others} before" if others > 0 else f"all {models} of this run"
    counted = f"{ordinal(most)} look at {folds}: {most} configurations were scored on it so far, {earlier}."
    return [f"{counted} The more are tried, the more the best of them owes to chance."]


def ordinal(number: int) -> str:
    """Write a number as 1st, 2nd, 3rd, 4th, 11th, 21st."""
    ending = "th" if number % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
